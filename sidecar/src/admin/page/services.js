// The table of services: a hundred of them, or as many more as somebody wants to see.

const PAGE = 100;
const view = { search: '', only: 'all', limit: PAGE, open: new Set(), details: new Map() };
const labels = ['', 'Instances', 'Requests/s', 'Failures', 'p50', 'p99', 'In flight', 'Breaker'];
const troubles = {
  circuit_open: ['bad', 'circuit open'], withdrawn: ['warn', 'withdrawn'],
  no_instance: ['bad', 'no instance'], evicted: ['warn', 'evicted'],
};
const breakers = { off: [null, 'off'], closed: ['ok', 'closed'], open: ['bad', 'open'], half_open: ['warn', 'half open'] };

const question = () => new URLSearchParams({ search: view.search, only: view.only, limit: view.limit, instances: 0 });

function drawServices(found) {
  const items = found.services.flatMap(one => view.open.has(one.key) ? [one, { detail: one }] : [one]);
  list($('rows'), items, item => item.detail ? `detail ${item.detail.key}` : item.key,
    item => item.detail ? detailRow(item.detail) : serviceRow(item),
    (row, item) => item.detail ? drawDetail(row, item.detail) : drawRow(row, item, found));
  const shown = found.services.length;
  text($('matched'), found.truncated || view.search || view.only !== 'all' ? `${whole(shown)} of ${plural(found.matched, 'service')} shown` : plural(found.matched, 'service'));
  $('none').hidden = shown > 0;
  text($('none'), found.totals.services === 0 ? 'No service yet. One appears when the application first calls it.'
    : view.only === 'trouble' && !view.search ? 'Nothing is wrong.' : 'No service is like that.');
  $('more').hidden = !found.truncated || view.limit >= 1000;
  text($('more'), `Show ${Math.min(PAGE, found.matched - shown)} more`);
  const counts = { all: found.totals.services, used: found.totals.used, trouble: found.totals.trouble };
  for (const button of $('only').children) text(button.lastElementChild, whole(counts[button.dataset.only]));
}

function serviceRow(one) {
  const button = h('button', { class: 'open', 'aria-expanded': 'false', click: () => toggle(one.key) },
    h('span', null, h('i', null, `${one.app}/`), one.name));
  const row = h('tr', null, labels.map((label, at) => h('td', { class: at > 1 && at < 7 ? 'n' : null, 'data-label': label || null }, at ? null : button)));
  row.button = button;
  row.spark = sparkline();
  row.rate = h('span');
  row.cells[2].append(row.spark, row.rate);
  return row;
}

function drawRow(row, one, found) {
  const known = track(one.key, found.uptimeSeconds, one.counters);
  const bounds = found.latencyBoundsSeconds;
  attribute(row.button, 'aria-expanded', String(view.open.has(one.key)));
  redraw(row.cells[1], [one.endpointCount, one.evictedCount, one.instanceCount, one.trouble], () => [
    h('span', null, `${one.endpointCount - one.evictedCount} of ${one.instanceCount} `),
    ['withdrawn', 'no_instance'].includes(one.trouble) && pill(...troubles[one.trouble]),
    one.evictedCount > 0 && pill('warn', `${one.evictedCount} evicted`, 'No connection could be made: left out for a while')]);
  spark(row.spark, known.points);
  text(row.rate, one.counters.inTotalsOnly ? '–' : rate(known.rate('requests')));
  const failing = known.failing();
  text(row.cells[3], share(failing));
  attribute(row.cells[3], 'class', failing > 0 ? 'n bad' : 'n');
  text(row.cells[4], brief(known.quantile(0.5, bounds)));
  text(row.cells[5], bounds.length ? brief(known.quantile(0.99, bounds)) : '–');
  text(row.cells[6], whole(one.inFlight));
  redraw(row.cells[7], [one.breaker.state, one.breaker.forced, one.breaker.openInstances], ([state, forced, open]) =>
    state === 'off' ? h('span', { class: 'dim' }, 'off')
      : pill(breakers[state][0], (open ? `${open} open` : breakers[state][1]) + (forced ? ' (forced)' : '')));
}

function toggle(key) {
  if (!view.open.delete(key)) view.open.add(key);
  if (last.services) drawServices(last.services);
  loadDetails();
}

/** Asks for what the open rows show. */
async function loadDetails() {
  const shown = last.services ? last.services.services.filter(one => view.open.has(one.key)) : [];
  await Promise.all(shown.slice(0, 20).map(async one => {
    try {
      view.details.set(one.key, await ask(`v1/mesher/services/${encodeURIComponent(one.app)}/${encodeURIComponent(one.name)}`));
    } catch (error) {
      view.details.delete(one.key);
    }
    const row = ($('rows').kept || new Map()).get(`detail ${one.key}`);
    if (row) drawDetail(row, one);
  }));
}

const detailRow = () => h('tr', { class: 'detail' }, h('td', { colspan: 8 }, h('p', { class: 'dim' }, '…')));

function drawDetail(row, { key }) {
  const one = view.details.get(key);
  if (one) redraw(row.cells[0], { ...one, app: '' }, () => h('div', { class: 'split' }, instancesOf(one), factsOf(one)));
}

function instancesOf(one) {
  const rows = one.instances.flatMap(instance => instance.endpoints.map(endpoint => [
    h('code', { title: instance.id }, endpoint.address), endpoint.protocol + (endpoint.tls ? ' + TLS' : ''), instance.version,
    stateOf(instance, endpoint), whole(endpoint.requests), whole(endpoint.failures), whole(endpoint.inFlight), whole(endpoint.connections)]));
  return h('div', null, h('h3', null, one.instancesTruncated ? `The first ${one.instances.length} of ${whole(one.instanceCount)} instances` : 'Instances'),
    table(['Endpoint', 'Protocol', 'Version', 'State', '#Requests', '#No answer', '#In flight', '#Connections'], rows, one.withdrawn ? 'The registry has withdrawn this service.' : 'It has no instance.'));
}

function stateOf(instance, endpoint) {
  if (endpoint.breaker) return pill(...breakers[endpoint.breaker]);
  if (endpoint.evictedForSeconds) return pill('warn', `evicted, ${span(endpoint.evictedForSeconds + 1)} left`);
  if (endpoint.routed) return pill('ok', instance.status);
  return pill(null, instance.status === 'UP' ? 'UP, not routed' : instance.status, 'No request goes there');
}

function routeOf(route) {
  const way = `${route.protocol}${route.port ? `:${route.port}` : ''} → ${route.usable} of ${route.endpoints}`;
  if (route.rule) return `rule ${route.rule}: ${way} of ${route.subset}, ${route.sharePercent} %`;
  return route.subset === 'version:latest' ? way : `${way} of ${route.subset}`;
}

/** In words: of one, or of many. */
const breakerOf = ({ state, openInstances }) =>
  openInstances === undefined ? breakers[state][1] : `${openInstances || 'none'} of the instances' open`;

/** In words: how many there may be, and how many there are. */
function limitsOf({ requestsPerSecond: rate, atOnce, underWay, waiting }) {
  const words = [rate !== undefined && `${whole(rate)} a second`, atOnce !== undefined && `${whole(underWay)} of ${whole(atOnce)} at once`, waiting > 0 && `${whole(waiting)} waiting`];
  return words.filter(Boolean).join(', ') || 'none';
}

function factsOf(one) {
  const { breaker, counters } = one;
  const mean = counters.requests ? counters.latencySecondsSum / counters.requests : null;
  return h('div', null, h('h3', null, 'Since the start'), facts([
    ['Requests', counters.inTotalsOnly ? 'in the sums only: too many services' : whole(counters.requests)],
    ['Failures', `${whole(counters.failures)} (${whole(counters.status4xx)} × 4xx, ${whole(counters.status5xx)} × 5xx)`],
    ['Sent again', whole(counters.resends)],
    ...Object.entries(counters.refusals || {}).map(([reason, count]) => [reason, whole(count)]),
    ['Mean latency', brief(mean)],
    ['Connections', whole(one.connections)],
    ['Versions', one.versions.map(version => version === one.latestVersion ? `${version} (routed)` : version).join(', ') || '–'],
    ['Routes', one.routes.map(routeOf).join(', ') || '–'],
    ['Limits', limitsOf(one.limits)],
    ['Breaker', breaker.state === 'off' ? 'off' : `${breakerOf(breaker)}, ${breaker.windowFailures} of ${breaker.windowRequests} failed in 10 s`],
    breaker.probeInSeconds && ['Next try', `in ${span(breaker.probeInSeconds + 1)}`],
  ]));
}
