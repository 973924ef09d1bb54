//! Which hosts have a proxy of ours beside their applications, where the source does not say so
//! (Istio): they are asked, and the answer counts for a minute.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer counts.
const COUNTS: Duration = Duration::from_mins(1);

/// What hosts have answered.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<IpAddr, Answer>>);

#[derive(Debug)]
struct Answer {
    is_peer: bool,
    at: Duration,
    /// What had been sent to the host by then, and what of it had failed.
    seen: (u64, u64),
}

impl Peers {
    /// Whether a proxy of ours is there, as far as is known.
    pub(crate) fn has(&self, host: IpAddr) -> bool {
        self.lock().get(&host).is_some_and(|answer| answer.is_peer)
    }

    /// Of these hosts, with what was sent to each and what of it has failed, those that are to be
    /// asked: they are in use, and their answer is old, or requests fail since. Others are
    /// forgotten.
    pub(crate) fn to_ask(&self, hosts: &HashMap<IpAddr, (u64, u64)>, now: Duration) -> Vec<IpAddr> {
        let mut answers = self.lock();
        answers.retain(|host, _| hosts.contains_key(host));
        let asked = hosts.iter().filter(|(host, (sent, failed))| match answers.get(*host) {
            None => *sent > 0,
            Some(answer) => {
                let (sent_then, failed_then) = answer.seen;
                *failed > failed_then || (*sent > sent_then && now >= answer.at + COUNTS)
            }
        });
        asked.map(|(host, _)| *host).collect()
    }

    /// Takes down answers; returns the hosts where it is not as before.
    pub(crate) fn answered(
        &self,
        found: impl IntoIterator<Item = (IpAddr, bool)>,
        hosts: &HashMap<IpAddr, (u64, u64)>,
        now: Duration,
    ) -> HashSet<IpAddr> {
        let mut answers = self.lock();
        let mut changed = HashSet::new();
        for (host, is_peer) in found {
            let seen = hosts.get(&host).copied().unwrap_or_default();
            let before = answers.insert(host, Answer { is_peer, at: now, seen });
            if before.is_some_and(|before| before.is_peer) != is_peer {
                changed.insert(host);
            }
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::Peers;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

    #[test]
    fn who_is_used_is_asked_once_a_minute_and_when_requests_fail() {
        let peers = Peers::default();
        let seconds = Duration::from_secs;
        let used = |sent, failed| HashMap::from([(HOST, (sent, failed))]);
        assert!(peers.to_ask(&used(0, 0), seconds(0)).is_empty(), "nobody uses it");
        assert_eq!(peers.to_ask(&used(1, 0), seconds(1)), [HOST]);
        let changed = peers.answered([(HOST, true)], &used(1, 0), seconds(1));
        assert!(peers.has(HOST) && changed.contains(&HOST));
        assert!(peers.to_ask(&used(9, 0), seconds(60)).is_empty());
        assert!(peers.to_ask(&used(1, 0), seconds(90)).is_empty(), "nobody used it since");
        assert_eq!(peers.to_ask(&used(9, 0), seconds(61)), [HOST]);
        assert_eq!(peers.to_ask(&used(9, 1), seconds(2)), [HOST], "a request has failed");
        assert!(peers.answered([(HOST, true)], &used(9, 1), seconds(61)).is_empty());
        assert_eq!(peers.answered([(HOST, false)], &used(9, 1), seconds(62)).len(), 1);
        assert!(!peers.has(HOST));
        assert!(peers.to_ask(&HashMap::new(), seconds(63)).is_empty());
        assert_eq!(peers.to_ask(&used(1, 0), seconds(64)), [HOST], "it was forgotten");
    }
}
