//! The pods that lack a sidecar: of each a record of fixed size, of all others nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::key::Key;

/// After so long what was said about a pod is said again: Events live for an hour.
const AGAIN: Duration = Duration::from_mins(30);

/// Who lacks a sidecar, and how many for each reason.
#[derive(Debug, Default)]
pub(super) struct Roll {
    records: BTreeMap<Key, Record>,
    counts: BTreeMap<&'static str, u64>,
    /// Counts the readings of the whole list.
    reading: u32,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    word: &'static str,
    /// In which reading it was seen last.
    reading: u32,
    /// When it was said last.
    told: Option<Instant>,
}

impl Roll {
    /// All pods are read anew. Until [`Self::read`] nobody is struck off for not being seen.
    pub(super) fn begin(&mut self) {
        self.reading = self.reading.wrapping_add(1);
    }

    /// All pods were read: strikes off who was not among them, and returns them.
    pub(super) fn read(&mut self) -> Vec<Key> {
        let unseen = self.records.iter().filter(|(_, record)| record.reading != self.reading);
        let gone: Vec<Key> = unseen.map(|(key, _)| *key).collect();
        for key in &gone {
            self.strike(*key);
        }
        gone
    }

    /// Notes that a pod lacks its sidecar for the reason `word`; whether that is news, or old
    /// enough to be said again.
    pub(super) fn enter(&mut self, key: Key, word: &'static str, now: Instant) -> bool {
        let known = self.strike_off(key);
        let told = known.filter(|known| known.word == word).and_then(|known| known.told);
        *self.counts.entry(word).or_default() += 1;
        self.records.insert(key, Record { word, reading: self.reading, told });
        told.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN)
    }

    /// It was said about a pod.
    pub(super) fn told(&mut self, key: Key, now: Instant) {
        if let Some(record) = self.records.get_mut(&key) {
            record.told = Some(now);
        }
    }

    /// A pod is gone, or lacks nothing.
    pub(super) fn strike(&mut self, key: Key) {
        self.strike_off(key);
    }

    /// How many pods lack their sidecar, by reason. A reason that was met stays, with 0.
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn strike_off(&mut self, key: Key) -> Option<Record> {
        let record = self.records.remove(&key)?;
        if let Some(count) = self.counts.get_mut(record.word) {
            *count = count.saturating_sub(1);
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [Key; 3] {
        ["a", "b", "c"].map(Key::of)
    }

    #[test]
    fn counts_follow_the_pods() {
        let (mut roll, now, [a, b, _]) = (Roll::default(), Instant::now(), keys());
        roll.enter(a, "sidecar_missing", now);
        roll.enter(a, "sidecar_missing", now);
        roll.enter(b, "sidecar_missing", now);
        assert_eq!(roll.counts()["sidecar_missing"], 2);
        roll.enter(a, "host_network", now);
        assert_eq!((roll.counts()["sidecar_missing"], roll.counts()["host_network"]), (1, 1));
        roll.strike(a);
        roll.strike(a);
        assert_eq!((roll.counts()["sidecar_missing"], roll.counts()["host_network"]), (1, 0));
    }

    /// A deletion may have been missed while the watch was interrupted.
    #[test]
    fn who_is_not_in_a_new_list_is_gone_once_that_was_read() {
        let (mut roll, now, [a, b, c]) = (Roll::default(), Instant::now(), keys());
        roll.begin();
        for key in [a, b] {
            roll.enter(key, "sidecar_missing", now);
        }
        assert_eq!(roll.read(), []);
        roll.begin();
        roll.enter(b, "sidecar_missing", now);
        roll.enter(c, "sidecar_missing", now);
        assert_eq!(roll.counts()["sidecar_missing"], 3, "not before all were read");
        // It began anew before it was done.
        roll.begin();
        roll.enter(b, "sidecar_missing", now);
        roll.enter(c, "sidecar_missing", now);
        assert_eq!(roll.read(), [a]);
        assert_eq!(roll.counts()["sidecar_missing"], 2);
    }

    #[test]
    fn a_reason_is_said_once_in_a_while() {
        let (mut roll, now, [a, ..]) = (Roll::default(), Instant::now(), keys());
        assert!(roll.enter(a, "sidecar_missing", now));
        assert!(roll.enter(a, "sidecar_missing", now), "it was not said yet");
        roll.told(a, now);
        assert!(!roll.enter(a, "sidecar_missing", now + AGAIN / 2));
        assert!(roll.enter(a, "host_network", now + AGAIN / 2), "another reason");
        roll.told(a, now);
        assert!(roll.enter(a, "host_network", now + AGAIN));
    }
}
