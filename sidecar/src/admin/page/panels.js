// The other views.

const panel = (title, ...content) => h('div', { class: 'panel' }, h('h2', null, title), content);

/** The application behind the proxy, hosts outside, egress rules. */
function drawOthers(found) {
  const { application, outside } = found;
  const flow = (key, counters) => {
    const known = track(key, found.uptimeSeconds, counters), bounds = found.latencyBoundsSeconds;
    return facts([['Requests/s', rate(known.rate('requests'))], ['Failures', share(known.failing())],
      ['p50', brief(known.quantile(0.5, bounds))], bounds.length && ['p99', brief(known.quantile(0.99, bounds))],
      ['Since the start', `${whole(counters.requests)}, ${whole(counters.failures)} failed`]]);
  };
  const places = (rows, empty) => table(['Address', 'Protocol', 'State', '#In flight', '#Connections'], rows.map(place => [
    h('code', null, place.address), place.protocol,
    place.evictedForSeconds ? pill('warn', `evicted, ${span(place.evictedForSeconds + 1)} left`) : pill('ok', 'usable'),
    whole(place.inFlight), whole(place.connections)]), empty);
  redraw($('others'), [application, outside, Math.floor(found.uptimeSeconds)], () => h('div', { class: 'panels' },
    application && panel('The application behind the proxy', flow('application', application.counters),
      h('p', null, 'Ports: ', h('code', null, application.ports.map(port => port.name ? `${port.name}:${port.port}` : port.port).join(', ') || 'any')),
      places(application.endpoints, 'Nobody has called it yet.')),
    panel('Hosts outside of the mesh', flow('outside', outside.counters),
      h('p', null, 'Let out: ', h('code', null, outside.passthrough)),
      places(outside.hosts, 'None was called lately.'), outside.hostsTruncated && h('p', { class: 'dim' }, 'And more.')),
    panel('Egress rules', table(['Host', 'Ports'], outside.egress.map(rule => [h('code', null, rule.host), rule.ports.join(', ') || 'any']), 'None.'),
      outside.egressTruncated && h('p', { class: 'dim' }, 'And more.'))));
}

function drawConnections(found) {
  const columns = ['clients', 'clientsIdle', 'clientsHttp2', 'tunnels', 'inFlight', 'upstreamIdle', 'upstreamHttp2', 'upstreamHttp2Streams'];
  const row = (name, open) => [name, ...columns.map(column => whole(open[column]))];
  redraw($('connections'), found, () => panel('What each worker has open',
    table(['Worker', '#Clients', '#idle', '#HTTP/2', '#Tunnels', '#In flight', '#To instances, idle', '#HTTP/2', '#Streams'],
      [...found.workers.map(open => row(`${open.worker}`, open)), row('All', found.total)]),
    h('p', { class: 'dim' }, `At most ${plural(found.mostClients, 'connection')} from clients at once.`)));
}

const config = { find: '', said: false, before: null, changed: new Set() };

/** Values that differ from what they were when the page was opened are marked. */
function takeConfig(found) {
  if (config.before) for (const key of new Set([...Object.keys(found.values), ...Object.keys(config.before)])) {
    if ((found.values[key] || {}).value !== (config.before[key] || {}).value) config.changed.add(key);
  }
  config.before = found.values;
  config.found = found;
  drawConfig();
}

function drawConfig() {
  const { found, find, said, changed } = config;
  if (!found) return;
  redraw($('problems'), [found.errors, found.warnings, found.restartNeeded], () => [
    ...found.errors.map(problem => fault('bad', problem)),
    found.restartNeeded.length > 0 && h('div', { class: 'banner warn' }, h('b', { class: 'warn' }, 'After a restart only: '), h('span', null, found.restartNeeded.join(', '))),
    ...found.warnings.map(problem => fault('warn', problem))]);
  const shown = value => typeof value === 'string' ? value : JSON.stringify(value);
  const rows = Object.entries(found.values).map(([key, { value, origin }]) => ({ key, value: shown(value), origin }))
    .filter(row => !(said && row.origin === 'built in') && `${row.key} ${row.value} ${row.origin}`.toLowerCase().includes(find));
  text($('found'), `${plural(rows.length, 'value')}, read ${local(found.loadedAt)}`);
  redraw($('values'), [rows, [...changed]], () => rows.map(row => h('tr', { class: [row.origin === 'built in' && 'built', changed.has(row.key) && 'changed'] },
    h('td', null, h('code', null, row.key), changed.has(row.key) && [' ', pill('ok', 'changed')]),
    h('td', null, h('code', null, row.value)), h('td', null, row.origin))));
}

const fault = (kind, { origin, key, message, severity }) => h('div', { class: ['banner', kind] },
  h('b', { class: kind }, `${severity}: `), h('span', null, [origin, key, message].filter(Boolean).join(': ')));

/** Who this is. */
function drawProxy(status) {
  const { discovery, identity } = status;
  const { registration } = discovery;
  redraw($('proxy'), { ...status, uptimeSeconds: Math.floor(status.uptimeSeconds) }, () => h('div', { class: 'panels' },
    panel('Identity', facts([
      ['Service', identity.service], ['Version', identity.version], ['Application', identity.app],
      identity.environment && ['Environment', identity.environment], identity.host && ['Host', identity.host],
      identity.pod && ['Pod', `${identity.pod.namespace}/${identity.pod.name}`], identity.pod && identity.pod.node && ['Node', identity.pod.node],
      ['mesher', status.version], ['Mode', status.mode], ['Up for', span(status.uptimeSeconds)], ['Started', local(status.startedAt)]])),
    panel('Discovery', facts([
      ['Backend', discovery.backend], ['Asked at', discovery.addresses.join(', ')], ['State', discovery.state],
      discovery.staleSince && ['Stale since', local(discovery.staleSince)], discovery.error && ['Error', discovery.error],
      ['Follows', `${plural(discovery.services, 'service')}, ${plural(discovery.instances, 'instance')}`],
      ['Pushed changes', discovery.watches ? 'yes' : 'no'], ['Asks every', span(discovery.refreshIntervalSeconds)],
      ['Registered', registration.wanted ? registration.serviceId || 'not yet' : 'not wanted'],
      registration.instanceStatus && ['Our instance', registration.instanceStatus], registration.error && ['Error', registration.error]])),
    discovery.xds && controlPlane(discovery),
    status.configuration.center && configurationCenter(status.configuration.center),
    panel('Listeners', table(['Side', 'Protocol', 'Address', 'TLS'], status.listeners.map(one => [one.side, one.protocol, h('code', null, one.address), one.tls ? 'yes' : 'no']))),
    panel('Certificates', table(['Tag', 'Certificate', 'Ends', 'Files'], status.certificates.map(one => [
      one.tag || '(bare keys)', one.subject ? h('span', { title: one.names.join(', ') }, one.subject) : 'none of its own', expiry(one),
      one.fault ? pill('bad', 'faulty', one.fault) : pill('ok', 'in order')]), 'No TLS is set up.'),
      status.certificates.filter(one => one.fault).map(one => h('p', { class: 'bad' }, one.fault)))));
}

/** What Istio's control plane was asked for, and what was taken of it. */
function controlPlane({ xds }) {
  const answer = ({ lastAck }) => lastAck ? local(lastAck) : 'none yet';
  const refusal = ({ lastNack, nackReason }) => lastNack ? h('span', { class: 'bad', title: nackReason }, local(lastNack)) : 'none';
  return panel('Istio', facts([
    ['Known as', h('code', null, xds.node)], ['Variant', xds.variant.replaceAll('_', ' ')],
    ['Stream since', xds.connectedSince ? local(xds.connectedSince) : 'there is none'], ['Streams so far', xds.streams]]),
  table(['Asked for', '#Names', 'Version', '#Responses', 'Last taken', 'Last refused'], xds.subscriptions.map(one => [
    one.kind, one.names || 'all', h('code', null, one.version || '–'), one.responses, answer(one), refusal(one)])),
  xds.unsupported.length > 0 && h('details', null,
    h('summary', null, `${plural(xds.unsupported.length, 'resource')} in use with fields that are not carried out`),
    table(['Resource', 'Fields'], xds.unsupported.map(one => [h('code', null, one.resource), one.fields.join(', ')]))));
}

/** Where keys come from besides files. */
function configurationCenter({ name, state, staleSince, error, lastSuccess, lastRefused: refused, layers }) {
  return panel('Configuration center', facts([
    ['Asked', name], ['State', state], staleSince && ['Stale since', local(staleSince)], error && ['Error', error],
    ['Last answer', lastSuccess ? local(lastSuccess) : 'none yet'],
    ['Last refused', refused ? `${local(refused.at)}, ${refused.current ? 'and still so' : 'put right since'}` : 'nothing']]),
  refused && refused.errors.map(problem => fault(refused.current ? 'bad' : 'warn', problem)),
  table(['Keys held for', '#Keys', 'Revision', 'Last answer'], layers.map(one => [
    h('code', null, one.name), one.keyCount, h('code', null, one.revision || '–'), one.lastSuccess ? local(one.lastSuccess) : 'none yet'])));
}

function expiry({ expiresAt, expiresInSeconds: left }) {
  if (expiresAt === undefined) return '–';
  const kind = left <= 0 ? 'bad' : left < 86400 ? 'warn' : null;
  return h('span', { class: kind, title: local(expiresAt) }, left <= 0 ? `ended ${span(-left)} ago` : `in ${span(left)}`);
}
