//! Which hosts outside of the mesh may be called, by rules: `egress.yaml` of the original.

use std::collections::HashMap;
use std::fmt;

/// A port of an outside host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressPort {
    /// The number.
    pub number: u16,
    /// What is spoken there.
    pub protocol: EgressProtocol,
}

/// What is spoken at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EgressProtocol {
    /// HTTP.
    Http,
    /// HTTP within TLS: what comes to us without leaves with it.
    Https,
    /// Something else, or nobody said.
    #[default]
    Other,
}

impl EgressPort {
    /// Of a rule that names none for HTTP or HTTPS.
    const USUAL: Self = Self { number: 80, protocol: EgressProtocol::Http };

    /// Whether requests leave within TLS.
    pub fn is_secured(self) -> bool {
        self.protocol == EgressProtocol::Https
    }
}

/// All rules, to be looked up by host. An exact name wins over a pattern, a longer pattern over a
/// shorter one; of two rules for the same the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    rules: Vec<Box<[EgressPort]>>,
    exact: HashMap<Box<str>, usize>,
    /// What names end in; the longest first.
    endings: Vec<(Box<str>, usize)>,
}

/// Why a text is no host of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEgressHost {
    /// It is empty, or longer than a name may be.
    Length,
    /// A part between dots is none.
    Label,
    /// A star stands elsewhere than at the beginning.
    Star,
}

impl fmt::Display for BadEgressHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a host of 1 to 255 characters",
            Self::Label => "a host with 1 to 63 letters, digits or hyphens between its dots",
            Self::Star => "a star only at the beginning",
        })
    }
}

impl Egress {
    /// Adds a rule: these hosts may be called on these ports. A host is a name, or a star and what
    /// names end in: `*.example.com`. Where one of them is none, nothing is added.
    ///
    /// # Errors
    ///
    /// The first host that is none, and why.
    pub fn allow<'h>(
        &mut self,
        hosts: &[&'h str],
        ports: &[EgressPort],
    ) -> Result<(), (&'h str, BadEgressHost)> {
        for host in hosts {
            check(host).map_err(|why| (*host, why))?;
        }
        let rule = self.rules.len();
        self.rules.push(ports.into());
        for host in hosts {
            let host = host.to_ascii_lowercase();
            if let Some(ending) = host.strip_prefix('*') {
                let longer = |(known, _): &(Box<str>, usize)| known.len() >= ending.len();
                let at = self.endings.partition_point(longer);
                self.endings.insert(at, (ending.into(), rule));
            } else {
                self.exact.entry(host.into()).or_insert(rule);
            }
        }
        Ok(())
    }

    /// Every host that a rule names, with the rule's ports; in the order of their names.
    pub fn hosts(&self) -> Vec<(String, &[EgressPort])> {
        let exact = self.exact.iter().map(|(host, rule)| (host.to_string(), *rule));
        let endings = self.endings.iter().map(|(ending, rule)| (format!("*{ending}"), *rule));
        let mut hosts: Vec<_> = exact.chain(endings).collect();
        hosts.sort();
        // Of two rules for the same the first counts.
        hosts.dedup_by(|later, first| later.0 == first.0);
        hosts.into_iter().map(|(host, rule)| (host, &*self.rules[rule])).collect()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The port that a call to `host` goes to; `None`: no rule names it. A port that was asked for
    /// counts where the rule has it, or has none at all; else it is the rule's first for HTTP, as
    /// in the original, which never looked at the one in the URL, and where there is none its first
    /// for HTTPS.
    ///
    /// ```
    /// use mesh::{Egress, EgressPort, EgressProtocol};
    /// let mut egress = Egress::default();
    /// let http = EgressPort { number: 8080, protocol: EgressProtocol::Http };
    /// let https = EgressPort { number: 443, protocol: EgressProtocol::Https };
    /// egress.allow(&["*.example.com"], &[https, http]).unwrap();
    /// assert_eq!(egress.port("www.example.com", None), Some(http));
    /// assert_eq!(egress.port("www.example.com", Some(443)), Some(https));
    /// assert_eq!(egress.port("example.org", None), None);
    /// ```
    pub fn port(&self, host: &str, asked: Option<u16>) -> Option<EgressPort> {
        let ports = &self.rules[self.rule(host)?];
        let listed = asked.and_then(|asked| ports.iter().find(|port| port.number == asked));
        let free = asked.filter(|_| ports.is_empty());
        let free = free.map(|number| EgressPort { number, protocol: EgressProtocol::Other });
        let of = |protocol| ports.iter().find(|port| port.protocol == protocol).copied();
        let first = || of(EgressProtocol::Http).or_else(|| of(EgressProtocol::Https));
        Some(listed.copied().or(free).or_else(first).unwrap_or(EgressPort::USUAL))
    }

    /// Whether some port of a rule is one for HTTPS.
    pub fn is_secured(&self) -> bool {
        self.rules.iter().flatten().any(|port| port.is_secured())
    }

    fn rule(&self, host: &str) -> Option<usize> {
        if self.rules.is_empty() {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let exact = self.exact.get(host.as_str()).copied();
        let ending = || self.endings.iter().find(|(ending, _)| host.ends_with(&**ending));
        exact.or_else(|| ending().map(|(_, rule)| *rule))
    }
}

fn check(host: &str) -> Result<(), BadEgressHost> {
    if host.is_empty() || host.len() > 255 {
        return Err(BadEgressHost::Length);
    }
    let bare = host.strip_prefix('*').unwrap_or(host);
    if bare.contains('*') {
        return Err(BadEgressHost::Star);
    }
    if host == "*" {
        return Ok(());
    }
    // Behind `*.` begins a label; behind `*` alone, one goes on.
    let starred = bare.len() < host.len();
    let labels = if starred { bare.strip_prefix('.').unwrap_or(bare) } else { bare };
    let goes_on = starred && labels.len() == bare.len();
    let fits = |(at, label): (usize, &str)| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.ends_with('-')
            && (!label.starts_with('-') || (at == 0 && goes_on))
    };
    if labels.split('.').enumerate().all(fits) { Ok(()) } else { Err(BadEgressHost::Label) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadEgressHost, Egress, EgressPort, EgressProtocol};

    fn http(number: u16) -> EgressPort {
        EgressPort { number, protocol: EgressProtocol::Http }
    }

    fn https(number: u16) -> EgressPort {
        EgressPort { number, protocol: EgressProtocol::Https }
    }

    /// The number of the port that a call goes to.
    fn number(egress: &Egress, host: &str, asked: Option<u16>) -> Option<u16> {
        egress.port(host, asked).map(|port| port.number)
    }

    fn other(number: u16) -> EgressPort {
        EgressPort { number, protocol: EgressProtocol::Other }
    }

    #[test]
    fn the_best_rule_counts() {
        let mut egress = Egress::default();
        egress.allow(&["*.example.com"], &[http(1)]).unwrap();
        egress.allow(&["*.www.example.com", "api.example.com"], &[http(2)]).unwrap();
        egress.allow(&["API.example.com", "*ample.org"], &[http(3)]).unwrap();
        for (host, port) in [
            ("a.example.com", Some(1)),
            ("A.EXAMPLE.COM", Some(1)),
            ("a.www.example.com", Some(2)),
            ("www.example.com", Some(1)),
            ("api.example.com", Some(2)),
            ("example.com", None),
            ("example.org", Some(3)),
            ("www.sample.org", Some(3)),
            ("exampleXcom", None),
        ] {
            assert_eq!(number(&egress, host, None), port, "{host}");
        }
    }

    #[test]
    fn hosts_are_listed_once_with_the_rule_that_counts() {
        let mut egress = Egress::default();
        egress.allow(&["*.b.com", "a.com"], &[http(1)]).unwrap();
        egress.allow(&["A.com", "*.b.com", "*"], &[http(2)]).unwrap();
        let hosts = egress.hosts();
        let hosts: Vec<_> = hosts.iter().map(|(host, ports)| (&**host, ports[0].number)).collect();
        assert_eq!(hosts, [("*", 2), ("*.b.com", 1), ("a.com", 1)]);
    }

    #[test]
    fn the_port_is_one_of_the_rule() {
        let mut egress = Egress::default();
        egress.allow(&["a"], &[other(443), http(8080), http(80)]).unwrap();
        egress.allow(&["b"], &[other(443)]).unwrap();
        egress.allow(&["c"], &[]).unwrap();
        for (host, asked, port) in [
            ("a", None, 8080),
            ("a", Some(443), 443),
            ("a", Some(80), 80),
            ("a", Some(9), 8080),
            ("b", None, 80),
            ("b", Some(443), 443),
            ("c", None, 80),
            ("c", Some(9), 9),
        ] {
            assert_eq!(number(&egress, host, asked), Some(port), "{host}:{asked:?}");
        }
    }

    #[test]
    fn what_is_spoken_goes_with_the_port() {
        let mut egress = Egress::default();
        assert!(!egress.is_secured());
        egress.allow(&["both"], &[https(443), http(80)]).unwrap();
        egress.allow(&["tls"], &[other(1), https(8443)]).unwrap();
        egress.allow(&["any"], &[]).unwrap();
        assert!(egress.is_secured());
        for (host, asked, port, secured) in [
            ("both", None, 80, false),
            ("both", Some(443), 443, true),
            ("both", Some(9), 80, false),
            ("tls", None, 8443, true),
            ("tls", Some(80), 8443, true),
            ("tls", Some(1), 1, false),
            ("any", Some(443), 443, false),
            ("any", None, 80, false),
        ] {
            let found = egress.port(host, asked).unwrap();
            assert_eq!((found.number, found.is_secured()), (port, secured), "{host}:{asked:?}");
        }
    }

    #[test]
    fn what_no_host_is() {
        use BadEgressHost::{Label, Length, Star};
        let long = "a".repeat(64);
        for (host, wrong) in [
            ("", Length),
            ("a..b", Label),
            ("a_b.com", Label),
            ("-a.com", Label),
            ("a-.com", Label),
            (&long, Label),
            ("*.", Label),
            ("*.-a.com", Label),
            ("*a.-b.com", Label),
            ("*-a.-b.com", Label),
            ("*-", Label),
            ("a.*.com", Star),
            ("**.com", Star),
        ] {
            let mut egress = Egress::default();
            assert_eq!(egress.allow(&["fine.com", host], &[]), Err((host, wrong)), "{host}");
            assert!(egress.is_empty(), "half a rule is none");
        }
        for host in ["*", "*.com", "*x.com", "*-x.com", "localhost", "127.0.0.1"] {
            assert_eq!(Egress::default().allow(&[host], &[]), Ok(()), "{host}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_names_what_ends_in_it(rest in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}", host in "[a-z.]{1,12}") {
            let mut egress = Egress::default();
            let pattern = format!("*{rest}");
            egress.allow(&[&pattern], &[]).unwrap();
            prop_assert_eq!(egress.port(&host, None).is_some(), host.ends_with(&rest));
            let below = format!("{host}{rest}");
            prop_assert!(egress.port(&below, None).is_some());
        }
    }
}
