//! Every key there is: its file, what it may hold, what comes of it. Check, dump, schema and the
//! environment all read this one table.

use std::collections::BTreeSet;

use super::kind::Kind;

mod chassis;
mod governance;
mod own;
mod service;
pub(super) mod tracing;

/// A configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum File {
    Tls,
    Auth,
    Monitoring,
    Tracing,
    Lager,
    CircuitBreaker,
    LoadBalancing,
    RateLimiting,
    Fault,
    Router,
    Egress,
    Microservice,
    Chassis,
    Mesher,
}

impl File {
    /// All of them. Where two say something about one key, the earlier wins.
    pub(super) const ALL: [Self; 14] = [
        Self::Tls,
        Self::Auth,
        Self::Monitoring,
        Self::Tracing,
        Self::Lager,
        Self::CircuitBreaker,
        Self::LoadBalancing,
        Self::RateLimiting,
        Self::Fault,
        Self::Router,
        Self::Egress,
        Self::Microservice,
        Self::Chassis,
        Self::Mesher,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls.yaml",
            Self::Auth => "auth.yaml",
            Self::Monitoring => "monitoring.yaml",
            Self::Tracing => "tracing.yaml",
            Self::Lager => "lager.yaml",
            Self::CircuitBreaker => "circuit_breaker.yaml",
            Self::LoadBalancing => "load_balancing.yaml",
            Self::RateLimiting => "rate_limiting.yaml",
            Self::Fault => "fault.yaml",
            Self::Router => "router.yaml",
            Self::Egress => "egress.yaml",
            Self::Microservice => "microservice.yaml",
            Self::Chassis => "chassis.yaml",
            Self::Mesher => "mesher.yaml",
        }
    }
}

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is taken over while `mesher` runs.
    Live,
    /// It is read at the start.
    Restart,
    /// It is accepted, and there is nothing to do: what it switches is so, or has no meaning here.
    Nothing,
    /// It belongs to something there is no more; the text names it and says what to do.
    Gone(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Canonical; `*` stands for one or more words, `**` for any number.
    pub(super) pattern: &'static str,
    pub(super) file: File,
    pub(super) kind: Kind,
    pub(super) effect: Effect,
    /// Empty: none.
    pub(super) default: &'static str,
    /// Variables that mean this key, the first that is set wins.
    pub(super) variables: &'static [&'static str],
    pub(super) about: &'static str,
}

const fn key(pattern: &'static str, file: File, kind: Kind, about: &'static str) -> Key {
    let effect = Effect::Nothing;
    Key { pattern, file, kind, effect, default: "", variables: &[], about }
}

impl Key {
    const fn live(self, default: &'static str) -> Self {
        Self { effect: Effect::Live, default, ..self }
    }

    const fn restart(self, default: &'static str) -> Self {
        Self { effect: Effect::Restart, default, ..self }
    }

    const fn gone(self, what_to_do: &'static str) -> Self {
        Self { effect: Effect::Gone(what_to_do), ..self }
    }

    const fn variables(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    /// Whether it names one key, rather than many.
    pub(super) fn is_plain(&self) -> bool {
        !self.pattern.contains('*')
    }

    fn matches(&self, key: &str) -> bool {
        // Most rows are told apart by their first word, without taking anything to pieces.
        if self.pattern.split('.').next() != key.split('.').next() {
            return false;
        }
        let pattern: Vec<&str> = self.pattern.split('.').collect();
        let segments: Vec<&str> = key.split('.').collect();
        let below = self.kind == Kind::Tree;
        matches(&pattern, &segments, below)
    }
}

fn matches(pattern: &[&str], segments: &[&str], below: bool) -> bool {
    match (pattern, segments) {
        ([], rest) => rest.is_empty() || below,
        (["**", rest @ ..], _) => {
            (0..=segments.len()).any(|n| matches(rest, &segments[n..], below))
        }
        (["*", rest @ ..], [_, ..]) => {
            (1..=segments.len()).any(|n| matches(rest, &segments[n..], below))
        }
        ([word, rest @ ..], [segment, others @ ..]) => {
            word == segment && matches(rest, others, below)
        }
        (_, []) => false,
    }
}

/// The whole table.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    [own::KEYS, service::KEYS, chassis::KEYS, governance::KEYS, tracing::KEYS].into_iter().flatten()
}

/// The row of a canonical key; one without wildcards before others.
pub(super) fn find(key: &str) -> Option<&'static Key> {
    let plain = all().find(|row| row.pattern == key);
    // No real key is this deep, and a pattern with wildcards costs by the depth.
    let shallow = || key.split('.').count() <= 16;
    plain.or_else(|| shallow().then(|| all().find(|row| row.matches(key))).flatten())
}

/// Whether there is a key at `key` or below it.
pub(super) fn leads_somewhere(key: &str) -> bool {
    let segments: Vec<&str> = key.split('.').collect();
    segments.len() <= 16
        && all().any(|row| {
            let pattern: Vec<&str> = row.pattern.split('.').collect();
            leads(&pattern, &segments, row.kind == Kind::Tree)
        })
}

fn leads(pattern: &[&str], segments: &[&str], below: bool) -> bool {
    match (pattern, segments) {
        // Behind a wildcard, whatever follows may belong to a service's name.
        (_, []) | (["*" | "**", ..], _) => true,
        ([], _) => below,
        ([word, rest @ ..], [segment, others @ ..]) => {
            word == segment && leads(rest, others, below)
        }
    }
}

/// The spelling of `key` in the table, if only the case differs.
pub(super) fn find_in_any_case(key: &str) -> Option<&'static str> {
    all().map(|row| row.pattern).find(|pattern| pattern.eq_ignore_ascii_case(key))
}

/// The word of an unknown `key` that is misspelt, and how it is spelt.
pub(super) fn suggestion(key: &str) -> Option<(String, &'static str)> {
    let words: BTreeSet<&'static str> =
        all().flat_map(|row| row.pattern.split('.')).filter(|word| !word.contains('*')).collect();
    let segments: Vec<&str> = key.split('.').collect();
    if segments.len() > 16 {
        return None;
    }
    let mut close: Vec<(usize, usize, &'static str)> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        for word in &words {
            let distance = distance(segment, word);
            if distance <= if segment.chars().count() < 5 { 1 } else { 2 } {
                close.push((distance, at, word));
            }
        }
    }
    close.sort_unstable();
    let correct = |end: usize, at: usize, word| {
        let mut corrected = segments[..end].to_vec();
        corrected[at] = word;
        corrected.join(".")
    };
    // Best a whole key, else one that begins like this.
    let whole =
        close.iter().find(|(_, at, word)| find(&correct(segments.len(), *at, word)).is_some());
    let start = || {
        close.iter().find(|(_, at, word)| {
            *at + 1 == segments.len() && leads_somewhere(&correct(segments.len(), *at, word))
        })
    };
    whole.or_else(start).map(|(_, at, word)| (segments[*at].to_owned(), *word))
}

/// Letters to add, take out, exchange or swap; case, `-` and `_` do not count.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    strsim::osa_distance(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Effect, Kind, all, find, suggestion};
    use crate::configuration::spelling::canonical;
    use crate::configuration::yaml::Content;

    #[test]
    fn the_table_is_sound() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(seen.insert(row.pattern), "{} stands twice", row.pattern);
            assert_eq!(canonical(row.pattern), row.pattern);
            assert!(row.about.ends_with('.'), "{}: {}", row.pattern, row.about);
            let found = find(&row.pattern.replace("**", "x").replace('*', "x"));
            assert!(found.is_some(), "{}", row.pattern);
            if !row.default.is_empty() {
                let default = Content::Scalar(row.default.to_owned());
                assert_eq!(row.kind.refusal(&default), None, "{}", row.pattern);
            }
            if let Effect::Gone(text) = row.effect {
                assert!(text.contains(": "), "{}: say what to do", row.pattern);
            }
        }
    }

    #[test]
    fn names_of_services_may_have_dots() {
        for (key, pattern) in [
            ("ssl.a.b.c.rest.Consumer.caFile", "ssl.**.caFile"),
            ("ssl.caFile", "ssl.**.caFile"),
            ("servicecomb.loadbalance.strategy.name", "servicecomb.loadbalance.**.strategy.name"),
            (
                "servicecomb.loadbalance.a.b.strategy.name",
                "servicecomb.loadbalance.**.strategy.name",
            ),
            ("servicecomb.routeRule.a.b", "servicecomb.routeRule"),
        ] {
            assert_eq!(find(key).map(|row| row.pattern), Some(pattern), "{key}");
        }
        assert!(find("servicecomb.loadbalance.strategy.nam").is_none());
        assert!(find(&"x.".repeat(10_000)).is_none());
        assert_eq!(find("servicecomb.routeRule").map(|row| row.kind), Some(Kind::Tree));
    }

    #[test]
    fn suggestions() {
        for (key, wrong, right) in [
            ("servicecomb.protocls.http.listenAddress", "protocls", "protocols"),
            ("servicecomb.protocols.http.listenAdress", "listenAdress", "listenAddress"),
            ("admin.enabel", "enabel", "enable"),
            ("servicecomb.protocls", "protocls", "protocols"),
            ("localHealthchecks", "localHealthchecks", "localHealthCheck"),
        ] {
            assert_eq!(suggestion(key), Some((wrong.to_owned(), right)), "{key}");
        }
        assert_eq!(suggestion("colour.of.the.sky"), None);
    }
}
