// Once a second the proxy is asked how it is; what it says is drawn.

const SECOND = 1000;
const last = { status: null, services: null, heard: null };
let paused = false, lost = null, restarted = null, timer = 0, asking = false, again = false;

async function ask(path) {
  const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(4 * SECOND), headers: { accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${path.split('?')[0]} was answered with ${answer.status}`);
  return answer.json();
}

async function look() {
  clearTimeout(timer);
  if (asking) { again = true; return; }
  asking = true;
  do {
    again = false;
    try {
      const [status, services] = await Promise.all([ask('v1/mesher/status'), ask(`v1/mesher/services?${question()}`)]);
      await show(status, services);
    } catch (error) {
      lost = lost || { since: new Date(), why: error.message };
    }
    drawBanners();
  } while (again);
  asking = false;
  if (!paused && !document.hidden) timer = setTimeout(look, lost ? 2 * SECOND : SECOND);
}

async function show(status, services) {
  if (last.status && status.startedAt !== last.status.startedAt) {
    restarted = new Date();
    forget(0, true);
  }
  const generation = last.status && last.status.configuration.generation;
  if (status.configuration.generation !== generation || restarted || !config.found) takeConfig(await ask('v1/mesher/config'));
  if (selected === 'connections') drawConnections(await ask('v1/mesher/connections'));
  Object.assign(last, { status, services, heard: new Date() });
  lost = null;
  forget(services.uptimeSeconds, false);
  drawHeader(status);
  drawTiles(services);
  drawServices(services);
  await loadDetails();
  drawOthers(services);
  drawProxy(status);
}

function drawHeader({ identity, discovery, configuration, certificates, phase, version }) {
  document.title = `${identity.service} · mesher`;
  text($('name'), identity.service);
  const pod = identity.pod && identity.pod.name;
  text($('identity'), [`${identity.app} · version ${identity.version}`, pod || identity.host, `mesher ${version}`].filter(Boolean).join(' · '));
  const { registration } = discovery;
  const state = { starting: null, connected: 'ok', stale: 'bad' }[discovery.state];
  const soon = certificates.filter(one => one.expiresInSeconds < 86400).length;
  const faults = certificates.filter(one => one.fault).length;
  const pills = [
    [phase === 'serving' ? 'ok' : 'warn', phase],
    [state, `${discovery.backend} ${discovery.state === 'starting' ? 'not asked yet' : discovery.state}${discovery.staleSeconds ? ` for ${span(discovery.staleSeconds)}` : ''}`],
    registration.wanted && (registration.error ? ['bad', 'registration fails'] : registration.instanceStatus
      ? [registration.instanceStatus === 'UP' ? 'ok' : 'warn', `instance ${registration.instanceStatus}`]
      : registration.serviceId ? ['ok', 'registered'] : ['warn', 'not registered yet']),
    configuration.center && configuration.center.state === 'stale' && ['bad', `configuration center stale for ${span(configuration.center.staleSeconds)}`],
    configuration.errors ? ['bad', 'configuration refused'] : configuration.restartNeeded.length ? ['warn', 'restart needed'] : null,
    faults ? ['bad', 'certificate files faulty'] : soon ? ['warn', 'a certificate ends soon'] : null,
  ].filter(Boolean);
  redraw($('pills'), pills, () => pills.map(one => h('li', null, pill(...one))));
}

/** What there is to see at once. */
function drawTiles(found) {
  const at = found.uptimeSeconds, bounds = found.latencyBoundsSeconds, { totals, application } = found;
  const out = track('tile out', at, sum(totals.counters, found.outside.counters));
  const { inFlight, connections, endpoints, evicted, instances, breakersOpen, services } = totals;
  const tiles = [
    ['Calls', `${rate(out.rate('requests'))}/s`, 'by the application', out.points],
    ['Failures', share(out.failing()), `${rate(out.rate('failures'))}/s`, out.failed, out.failing() > 0 && 'bad'],
    bounds.length ? ['Latency, p50', brief(out.quantile(0.5, bounds)), `p99 ${brief(out.quantile(0.99, bounds))}`, out.slow]
      : ['Latency, mean', brief(out.quantile(0.5, bounds)), 'to the response', out.slow],
    ['In flight', whole(inFlight), plural(connections, 'connection'), trend('in flight', inFlight)],
    ['Instances', `${whole(endpoints - evicted)} of ${whole(instances)}`, evicted ? `${evicted} evicted` : 'take requests',
      [endpoints - evicted, evicted, Math.max(0, instances - endpoints)], evicted > 0 && 'warn'],
    ['Circuits', breakersOpen ? `${whole(breakersOpen)} open` : 'closed', `of ${plural(services, 'service')}`,
      [services - breakersOpen, 0, breakersOpen], breakersOpen > 0 && 'bad'],
  ];
  if (application) {
    const into = track('tile in', at, application.counters);
    tiles.unshift(['Received', `${rate(into.rate('requests'))}/s`, `${share(into.failing())} failed`, into.points]);
  }
  list($('tiles'), tiles, tile => tile[0], makeTile, (node, [, value, note, points, kind]) => {
    const [, number, words, picture] = node.children;
    text(number, value);
    attribute(number, 'class', kind || '');
    text(words, note);
    if (picture.matches('svg')) {
      picture.classList.toggle('bad', kind === 'bad');
      spark(picture, points);
    } else points.forEach((part, index) => { picture.children[index].style.flexGrow = part; });
  });
}

const makeTile = ([name]) => h('div', { class: 'tile' }, h('h2', null, name), h('b'), h('p'),
  /^(Inst|Circ)/.test(name) ? h('div', { class: 'bar' }, h('i'), h('i'), h('i')) : sparkline());

/** Two sets of counters as one. */
function sum(a, b) {
  const both = {};
  for (const name of Object.keys(a)) if (typeof a[name] === 'number') both[name] = a[name] + b[name];
  const [one, other] = [a.latencyBuckets, b.latencyBuckets];
  both.latencyBuckets = (one.length ? one : other).map((_, at) => (one[at] || 0) + (other[at] || 0));
  return both;
}

/** What must not be overlooked. */
function drawBanners() {
  const banners = [];
  const { status } = last;
  if (lost) {
    const end = status && status.phase !== 'serving' ? 'It was draining, and has ended.' : 'It may have ended, or the port-forward has.';
    banners.push(['bad', 'mesher does not answer', `since ${clock(lost.since)}. ${end}${last.heard ? ` Shown is how it was at ${clock(last.heard)}.` : ` ${lost.why}`}`]);
  } else if (status) {
    const { discovery, configuration, phase, unwell } = status;
    if (phase !== 'serving') banners.push(['warn', `mesher is ${phase}`, 'it serves what comes, and asks its clients to go elsewhere.']);
    if (discovery.state === 'stale') banners.push(['warn', 'Discovery is stale', `since ${clock(new Date(discovery.staleSince))}: what was known is used. ${discovery.error}`]);
    else if (unwell) banners.push(['warn', 'Not well', unwell]);
    const { center } = configuration;
    if (center && center.state === 'stale') banners.push(['warn', 'The configuration center does not answer', `since ${clock(new Date(center.staleSince))}: what it last said stays in force. ${center.error}`]);
    const refused = center && center.lastRefused && center.lastRefused.current ? 'What the configuration center says is refused:' : 'The configuration on the disk is refused:';
    if (configuration.errors) banners.push(['bad', refused, `the last good one, of ${local(configuration.loadedAt)}, stays in force. See Configuration.`]);
    if (restarted && new Date() - restarted < 30 * SECOND) banners.push(['warn', 'mesher was restarted', `at ${clock(restarted)}: it counts from zero.`]);
  }
  document.body.classList.toggle('gone', Boolean(lost));
  redraw($('banners'), banners, () => banners.map(([kind, title, words]) => h('div', { class: ['banner', kind] }, h('b', { class: kind }, title), ' ', h('span', null, words))));
  text($('fresh'), lost ? 'No answer' : paused ? `Paused at ${clock(last.heard || new Date())}` : last.heard ? `Live, ${clock(last.heard)}` : '');
}

// What people do.

const tabs = [...document.querySelectorAll('[role=tab]')];
let selected = 'services';
function select(tab, focus) {
  selected = tab.getAttribute('aria-controls');
  for (const one of tabs) {
    attribute(one, 'aria-selected', String(one === tab));
    attribute(one, 'tabindex', one === tab ? '0' : '-1');
    $(one.getAttribute('aria-controls')).hidden = one !== tab;
  }
  if (focus) tab.focus();
  history.replaceState(null, '', `#${selected}`);
  if (selected === 'connections') look();
}
tabs.forEach((tab, at) => {
  tab.addEventListener('click', () => select(tab));
  tab.addEventListener('keydown', event => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(tabs[(to + tabs.length) % tabs.length], true);
  });
});

function pause() {
  paused = !paused;
  attribute($('pause'), 'aria-pressed', String(paused));
  text($('pause'), paused ? 'Resume' : 'Pause');
  if (paused) { clearTimeout(timer); drawBanners(); } else look();
}
$('pause').addEventListener('click', pause);
document.addEventListener('visibilitychange', () => document.hidden || paused || look());
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches('input');
  if (typing && event.key === 'Escape') event.target.blur();
  if (typing) return;
  if (event.key === 'p') pause();
  if (event.key === '/') { event.preventDefault(); select(tabs[0]); $('search').focus(); }
});
$('search').addEventListener('input', event => { view.search = event.target.value.trim(); view.limit = PAGE; look(); });
for (const button of $('only').children) button.addEventListener('click', () => {
  view.only = button.dataset.only;
  view.limit = PAGE;
  for (const one of $('only').children) attribute(one, 'aria-pressed', String(one === button));
  look();
});
$('more').addEventListener('click', () => { view.limit = Math.min(1000, view.limit + PAGE); look(); });
$('find').addEventListener('input', event => { config.find = event.target.value.trim().toLowerCase(); drawConfig(); });
$('said').addEventListener('change', event => { config.said = event.target.checked; drawConfig(); });
select(tabs.find(tab => `#${tab.getAttribute('aria-controls')}` === location.hash) || tabs[0]);
look();
