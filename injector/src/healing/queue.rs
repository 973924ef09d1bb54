//! Whose turn it is to be evicted: one pod of the cluster at a time, and of a workload one in a
//! while. Everything is bounded; what does not fit is found again by the next reading of all pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::key::Key;

/// The longest wait between two pods of a workload.
const LONGEST: Duration = Duration::from_hours(1);
/// Pods that wait, at the most.
const PODS: usize = 1_000;
/// Workloads of which a pod was evicted, at the most.
const OWNERS: usize = 1_000;

/// A pod that may be evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) owner: Key,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// When it was made, by the API server's clock.
    pub(super) created: String,
}

/// How an attempt ended, for the order of the next ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Evicted, at this time of the API server.
    Evicted(String),
    /// Not now.
    Later,
    /// It is not what it was: it comes again by itself, or not at all.
    Gone,
}

/// How fast it may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between two pods of the cluster.
    pub(super) interval: Duration,
    /// Between two pods of a workload.
    pub(super) backoff: Duration,
}

/// The pods that wait, and the workloads that rest.
#[derive(Debug)]
pub(super) struct Queue {
    pace: Pace,
    pods: BTreeMap<Key, Waiting>,
    owners: BTreeMap<Key, Rest>,
    not_before: Option<Instant>,
    overflowed: bool,
}

/// A pod that waits for its turn.
#[derive(Debug, Clone)]
struct Waiting {
    candidate: Candidate,
    /// Attempts that led to nothing.
    vain: u32,
    /// After these: when it is tried again.
    until: Option<Instant>,
}

/// Until when a workload is left alone, of which a pod was evicted.
#[derive(Debug, Clone)]
struct Rest {
    until: Instant,
    /// How long this rest is.
    length: Duration,
    /// When the pod was evicted, by the API server's clock.
    evicted: String,
}

impl Queue {
    pub(super) fn new(pace: Pace) -> Self {
        let (pods, owners) = (BTreeMap::new(), BTreeMap::new());
        Self { pace, pods, owners, not_before: None, overflowed: false }
    }

    /// Takes in a pod, if there is room. One that waits already keeps its place.
    pub(super) fn offer(&mut self, candidate: Candidate) {
        if self.pods.contains_key(&candidate.key) {
            return;
        }
        if self.pods.len() < PODS {
            let key = candidate.key;
            self.pods.insert(key, Waiting { candidate, vain: 0, until: None });
        } else {
            self.overflowed = true;
        }
    }

    /// A pod is gone, or needs no eviction any more.
    pub(super) fn withdraw(&mut self, key: Key) {
        self.pods.remove(&key);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether nobody waits, and there was no room for somebody: says so once.
    pub(super) fn has_missed(&mut self) -> bool {
        self.pods.is_empty() && std::mem::take(&mut self.overflowed)
    }

    /// Whose turn it is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Candidate> {
        if self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.forget(now);
        let rests = |owner: &Key| self.owners.get(owner).is_some_and(|rest| now < rest.until);
        let room = |owner: &Key| self.owners.len() < OWNERS || self.owners.contains_key(owner);
        let due = |pod: &&Waiting| {
            let owner = &pod.candidate.owner;
            pod.until.is_none_or(|until| now >= until) && room(owner) && !rests(owner)
        };
        // Who was tried often does not keep others from their first turn.
        let first = self.pods.values().filter(due).min_by_key(|pod| pod.vain)?;
        Some(first.candidate.clone())
    }

    /// How the attempt at `candidate` ended.
    pub(super) fn ended(&mut self, candidate: &Candidate, turn: Turn, now: Instant) {
        match turn {
            Turn::Gone => self.withdraw(candidate.key),
            Turn::Evicted(evicted) => {
                self.withdraw(candidate.key);
                self.not_before = Some(now + self.pace.interval);
                // Made after the last eviction: it is a successor, and came without a sidecar.
                let before = self.owners.get(&candidate.owner);
                let again = before.filter(|rest| candidate.created >= rest.evicted);
                let length = again.map_or(self.pace.backoff, |rest| (rest.length * 2).min(LONGEST));
                let rest = Rest { until: now + length, length, evicted };
                self.owners.insert(candidate.owner, rest);
            }
            Turn::Later => {
                let Pace { interval, backoff } = self.pace;
                if let Some(pod) = self.pods.get_mut(&candidate.key) {
                    let wait = interval * (1 << pod.vain.min(10));
                    pod.until = Some(now + wait.min(backoff.max(interval)));
                    pod.vain += 1;
                }
            }
        }
    }

    /// Forgets workloads whose rest is over for as long as it took: by then it is known whether the
    /// successor has its sidecar.
    fn forget(&mut self, now: Instant) {
        self.owners.retain(|_, rest| now < rest.until + rest.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { interval: Duration::from_secs(10), backoff: Duration::from_mins(5) };

    fn nearly(time: Duration) -> Duration {
        time.mul_f64(0.99)
    }

    fn candidate(name: &str, owner: &str, created: &str) -> Candidate {
        Candidate {
            key: Key::of(name),
            owner: Key::of(owner),
            namespace: "shop".into(),
            name: name.into(),
            uid: name.into(),
            created: created.into(),
        }
    }

    fn next(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.due(now).map(|candidate| candidate.name)
    }

    fn evict(queue: &mut Queue, now: Instant, at: &str) -> Option<String> {
        let candidate = queue.due(now)?;
        queue.ended(&candidate, Turn::Evicted(at.into()), now);
        Some(candidate.name)
    }

    #[test]
    fn one_pod_of_a_workload_and_then_it_rests() {
        let (mut queue, start) = (Queue::new(PACE), Instant::now());
        queue.offer(candidate("web-1", "web", "10:00"));
        queue.offer(candidate("web-2", "web", "10:00"));
        assert!(evict(&mut queue, start, "10:01").is_some());
        assert_eq!(queue.len(), 1);
        assert_eq!(next(&mut queue, start + nearly(PACE.backoff)), None);
        assert!(evict(&mut queue, start + PACE.backoff, "10:06").is_some());
        assert_eq!((queue.len(), next(&mut queue, start + LONGEST)), (0, None));
    }

    #[test]
    fn one_pod_of_the_cluster_at_a_time() {
        let (mut queue, start) = (Queue::new(PACE), Instant::now());
        for (pod, owner) in [("web-1", "web"), ("db-1", "db"), ("web-2", "web")] {
            queue.offer(candidate(pod, owner, "10:00"));
        }
        let first = evict(&mut queue, start, "10:01").expect("a turn");
        assert_eq!(next(&mut queue, start + nearly(PACE.interval)), None);
        let second = evict(&mut queue, start + PACE.interval, "10:01").expect("a turn");
        assert_ne!(first.split('-').next(), second.split('-').next(), "another workload");
        assert_eq!(next(&mut queue, start + 2 * PACE.interval), None);
    }

    /// Whatever is wrong, it is not tried for ever at the same pace.
    #[test]
    fn a_workload_whose_successors_lack_it_too_rests_twice_as_long_each_time() {
        let (mut queue, mut now) = (Queue::new(PACE), Instant::now());
        queue.offer(candidate("web-0", "web", "10:00"));
        assert!(evict(&mut queue, now, "10:01").is_some());
        let mut length = PACE.backoff;
        for pod in 1..8 {
            let (made, evicted) = (format!("1{pod}:01"), format!("1{pod}:02"));
            queue.offer(candidate(&format!("web-{pod}"), "web", &made));
            assert_eq!(next(&mut queue, now + nearly(length)), None, "{pod}");
            now += length;
            assert!(evict(&mut queue, now, &evicted).is_some(), "{pod}");
            length = (length * 2).min(LONGEST);
        }
        assert_eq!(length, LONGEST);
        // One that is older than the last eviction is no successor.
        queue.offer(candidate("old", "web", "10:00"));
        now += length;
        assert!(evict(&mut queue, now, "20:00").is_some());
        queue.offer(candidate("older", "web", "10:00"));
        assert!(next(&mut queue, now + PACE.backoff).is_some());
    }

    #[test]
    fn what_does_not_work_now_is_tried_again_later_and_later() {
        let (mut queue, mut now) = (Queue::new(PACE), Instant::now());
        queue.offer(candidate("web-1", "web", "10:00"));
        queue.offer(candidate("web-2", "web", "10:00"));
        let blocked = queue.due(now).expect("a turn");
        queue.ended(&blocked, Turn::Later, now);
        let other = queue.due(now).expect("others of the workload do not wait for it");
        assert_ne!(other.name, blocked.name);
        queue.withdraw(other.key);
        for wait in [10, 20, 40, 80, 160, 300, 300].map(Duration::from_secs) {
            // A change of the pod brings it again.
            queue.offer(blocked.clone());
            assert_eq!(next(&mut queue, now + nearly(wait)), None, "{wait:?}");
            now += wait;
            assert_eq!(next(&mut queue, now), Some(blocked.name.clone()), "{wait:?}");
            queue.offer(other.clone());
            assert_eq!(next(&mut queue, now), Some(other.name.clone()), "its first turn");
            queue.withdraw(other.key);
            queue.ended(&blocked, Turn::Later, now);
        }
        now += PACE.backoff;
        assert!(evict(&mut queue, now, "10:30").is_some());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_has_changed_counts_against_nobody() {
        let (mut queue, now) = (Queue::new(PACE), Instant::now());
        queue.offer(candidate("web-1", "web", "10:00"));
        let first = queue.due(now).expect("a turn");
        queue.ended(&first, Turn::Gone, now);
        queue.offer(candidate("web-2", "web", "10:00"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("web-2"));
    }

    #[test]
    fn there_is_a_bound_to_everything() {
        let (mut queue, start) = (Queue::new(PACE), Instant::now());
        for pod in 0..PODS + 5 {
            queue.offer(candidate(&format!("pod-{pod}"), &format!("owner-{pod}"), "10:00"));
        }
        assert_eq!(queue.len(), PODS);
        assert!(!queue.has_missed(), "while some wait, nothing is read for others");
        queue.pods.clear();
        assert!(queue.has_missed() && !queue.has_missed());
        for owner in 0..OWNERS {
            let candidate = candidate("pod", &format!("owner-{owner}"), "10:00");
            queue.ended(&candidate, Turn::Evicted("10:01".into()), start);
        }
        let now = start + PACE.interval;
        queue.offer(candidate("web-1", "web", "10:00"));
        assert_eq!(next(&mut queue, now), None, "no room for another workload");
        assert_eq!(next(&mut queue, now + LONGEST).as_deref(), Some("web-1"));
        assert!(queue.owners.is_empty(), "forgotten");
    }
}
