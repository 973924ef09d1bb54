// Numbers: how they are written, and what becomes of counters that only grow.

const whole = n => n.toLocaleString('en-US');
const rate = n => n === null ? '–' : n === 0 ? '0' : n >= 100 ? whole(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
const share = n => n === null ? '–' : n === 0 ? '0 %' : n < 0.001 ? '< 0.1 %' : n < 0.1 ? `${(100 * n).toFixed(1)} %` : `${Math.round(100 * n)} %`;
const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? '' : 's'}`;

/** A short time, in seconds: 340 µs, 1.2 ms, 2.5 s. */
function brief(s) {
  if (s === null) return '–';
  if (s === Infinity) return '> 1 min';
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s * 1e3 < 10 ? (s * 1e3).toFixed(1) : Math.round(s * 1e3)} ms`;
  return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
}

/** A long one: 42 s, 3 min 12 s, 5 h 3 min, 12 d 4 h. */
function span(s) {
  s = Math.max(0, Math.floor(s));
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = units.findIndex(([size]) => s >= size);
  if (at < 0) return '0 s';
  const [[size, unit], next] = [units[at], units[at + 1]];
  const rest = next ? Math.floor(s % size / next[0]) : 0;
  return `${Math.floor(s / size)} ${unit}${rest ? ` ${rest} ${next[1]}` : ''}`;
}
const clock = date => date.toLocaleTimeString('en-GB');
const local = stamp => stamp ? new Date(stamp).toLocaleString('sv-SE') : '–';

/** What became of one set of counters in the last minute. */
class Track {
  constructor() {
    this.samples = [];
    this.points = [];
    this.failed = [];
    this.slow = [];
  }

  /** Takes down the counters as they were at `at`, seconds since the proxy started. */
  add(at, counters) {
    const last = this.samples.at(-1);
    if (last && at <= last.at) return;
    const sample = { at, c: counters };
    if (last) {
      this.points.push(this.per(last, sample, 'requests'));
      this.failed.push(this.per(last, sample, 'failures'));
      this.slow.push(this.per(last, sample, 'latencySecondsSum') / (this.points.at(-1) || 1));
    }
    this.samples.push(sample);
    if (this.samples.length > 61) this.samples.shift();
    if (this.points.length > 60) [this.points, this.failed, this.slow].forEach(list => list.shift());
  }

  per(from, to, name) {
    return Math.max(0, to.c[name] - from.c[name]) / (to.at - from.at);
  }

  /** The first and the last sample of so many seconds; null before there are two. */
  window(seconds) {
    const last = this.samples.at(-1);
    const from = this.samples.find(sample => last.at - sample.at <= seconds);
    return from && from !== last ? [from, last] : null;
  }

  /** Per second, of the last three seconds. */
  rate(name) {
    const ends = this.window(3.5);
    return ends && this.per(...ends, name);
  }

  /** Of the last requests, how many failed: 0 to 1. */
  failing() {
    const ends = this.window(15.5);
    const requests = ends && ends[1].c.requests - ends[0].c.requests;
    return requests ? (ends[1].c.failures - ends[0].c.failures) / requests : null;
  }

  /** The latency that so many of the last requests did not exceed; their mean without buckets. */
  quantile(q, bounds) {
    const ends = this.window(15.5);
    if (!ends) return null;
    const [from, to] = ends.map(end => end.c);
    const requests = to.requests - from.requests;
    if (requests <= 0) return null;
    if (!bounds.length) return (to.latencySecondsSum - from.latencySecondsSum) / requests;
    const counts = to.latencyBuckets.map((n, at) => n - (from.latencyBuckets[at] || 0));
    let left = q * counts.reduce((sum, n) => sum + n, 0);
    if (!left) return null;
    for (let at = 0; at < counts.length; at++) {
      if (counts[at] && left <= counts[at]) {
        if (at >= bounds.length) return Infinity;
        const low = at ? bounds[at - 1] : 0;
        return low + (bounds[at] - low) * left / counts[at];
      }
      left -= counts[at];
    }
    return null;
  }
}

/** The tracks of all that is shown, by key. */
const tracks = new Map();
function track(key, at, counters) {
  let known = tracks.get(key);
  if (!known) tracks.set(key, known = new Track());
  known.add(at, counters);
  known.seen = at;
  return known;
}
/** The last minute of a number that goes up and down. */
const trends = {};
function trend(name, value) {
  const values = trends[name] || (trends[name] = []);
  values.push(value);
  if (values.length > 60) values.shift();
  return values;
}
/** Forgets what was not shown for a minute; all of it where the proxy is another one. */
function forget(at, all) {
  for (const [key, known] of tracks) if (all || known.seen < at - 60) tracks.delete(key);
}
