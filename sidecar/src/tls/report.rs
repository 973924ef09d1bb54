//! What is to be seen of TLS from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::handshake::OUTCOMES;
use super::{Counts, InForce, Tls};

/// One tag, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) tag: String,
    /// Since 1970, of the certificate that peers see.
    pub(crate) ends: Option<Duration>,
    /// Whose it is.
    pub(crate) subject: Option<String>,
    /// The names it is for.
    pub(crate) names: Vec<String>,
    /// Its files are not in order.
    pub(crate) faulty: bool,
    /// Why.
    pub(crate) fault: Option<String>,
}

impl Tls {
    /// All tags.
    pub(crate) fn report(&self) -> Vec<Report> {
        let wanted = self.wanted();
        let in_force = self.in_force.load();
        let report = |(tag, it): (&String, &Arc<InForce>)| Report {
            tag: tag.clone(),
            ends: it.held.leaf().map(|leaf| {
                leaf.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
            }),
            subject: it.held.leaf().map(|leaf| leaf.subject().to_owned()),
            names: it.held.leaf().map(|leaf| leaf.names().to_vec()).unwrap_or_default(),
            faulty: wanted.faults.contains_key(tag),
            fault: wanted.faults.get(tag).cloned(),
        };
        in_force.iter().map(report).collect()
    }

    /// How often other files were put in force, or refused.
    pub(crate) fn reloads(&self) -> [(&'static str, u64); 2] {
        let Counts { reloads, failed_reloads, .. } = &self.counts;
        [
            ("ok", reloads.load(Ordering::Relaxed)),
            ("failed", failed_reloads.load(Ordering::Relaxed)),
        ]
    }

    /// Handshakes: side, outcome, how many.
    pub(crate) fn handshakes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let sides = [("server", &self.counts.accepted), ("client", &self.counts.connected)];
        sides.into_iter().flat_map(|(side, counts)| {
            let count = move |(outcome, count): (&'static str, &AtomicU64)| {
                (side, outcome, count.load(Ordering::Relaxed))
            };
            OUTCOMES.into_iter().zip(counts).map(count)
        })
    }
}
