'use strict';
// Elements. Whatever comes from the proxy becomes text or an attribute, never markup.

const $ = id => document.getElementById(id);

/** An element; of its attributes, functions are listeners and `class` may be a list with holes. */
function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, [].concat(value).filter(Boolean).join(' '));
  }
  node.append(...children.flat(9).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** Writes only what differs, so that a selection, the focus and screen readers are left alone. */
function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}
function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Makes the children of `parent` what `items` say: each is made once, by its key, and kept. */
function list(parent, items, keyOf, make, update) {
  const known = parent.kept || (parent.kept = new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of known) if (!wanted.has(key)) {
    node.remove();
    known.delete(key);
  }
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (!node) known.set(key, node = make(item));
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
}

/** Replaces the children where something of `data` is not what it was. */
function redraw(parent, data, draw) {
  const state = JSON.stringify(data);
  if (parent.drawn === state) return;
  parent.drawn = state;
  parent.replaceChildren(...[draw(data)].flat().filter(Boolean));
}

const pill = (kind, word, title) => h('span', { class: ['pill', kind], title: title || null }, word);
const facts = pairs => h('dl', null, pairs.filter(Boolean).map(([name, value]) => [h('dt', null, name), h('dd', null, value)]));

/** A table of `columns`: names, those with a `#` before them hold numbers. */
function table(columns, rows, empty) {
  if (!rows.length) return h('p', { class: 'dim' }, empty || 'None.');
  const number = columns.map(name => name[0] === '#' ? 'n' : null);
  const names = columns.map(name => name.replace('#', ''));
  return h('div', { class: 'wide' }, h('table', null,
    h('thead', null, h('tr', null, names.map((name, at) => h('th', { class: number[at] }, name)))),
    h('tbody', null, rows.map(row => h('tr', null, row.map((cell, at) => h('td', { class: number[at] }, cell)))))));
}

/** A curve of the last minute. */
function spark(node, values, top) {
  const most = Math.max(top || 0, ...values.map(value => value || 0)) || 1;
  const from = 60 - values.length;
  const points = values.map((value, at) => `${from + at},${(19 - 17 * (value || 0) / most).toFixed(1)}`);
  const line = points.join(' ');
  attribute(node.lastElementChild, 'points', line);
  attribute(node.firstElementChild, 'points', points.length ? `${from},20 ${line} ${from + points.length - 1},20` : '');
}
const sparkline = () => $('line').content.firstElementChild.cloneNode(true);
