//! What a value may be.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::yaml::Content;

/// Cipher suites of TLS 1.2 that `cipherSuits` may name.
pub(super) const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// Any text; nobody gets to see it.
    Secret,
    /// Yes or no.
    Flag,
    /// `30s`, `1m30s`, `500ms`.
    Duration,
    /// A number from the first to the second.
    Whole(u64, u64),
    /// A number from 0 to 1.
    Share,
    /// One of these, in any case.
    Choice(&'static [&'static str]),
    /// `ip:port`, or `off`.
    Listen,
    /// Addresses of a registry, with commas between them.
    Urls,
    /// Names of handlers, with commas between them.
    Handlers,
    /// Words, as a list or with commas between them.
    Words,
    /// Cipher suites, with commas between them.
    CipherSuites,
    /// The path of a file.
    Path,
    /// `SERVICE_PORTS`.
    ServicePorts,
    /// Port numbers with commas between them.
    Ports,
    /// IP addresses with commas between them.
    Addresses,
    /// A list that has a reader of its own.
    List,
    /// Whatever stands below: rules that have a reader of their own.
    Tree,
}

impl Kind {
    /// What is allowed, if `content` is not.
    pub(super) fn refusal(self, content: &Content) -> Option<String> {
        let text = match (self, content) {
            (Self::Tree, _)
            | (Self::List | Self::Words, Content::List(_))
            | (_, Content::Null | Content::Map(_)) => return None,
            (Self::List, Content::Scalar(text)) => {
                return Some(format!(
                    "\"{}\" is no list: begin each entry with \"-\"",
                    short(text)
                ));
            }
            (_, Content::Scalar(text)) => text.trim(),
            (_, Content::List(_)) => {
                return Some(format!("a list: write one value, {}", self.allowed()));
            }
        };
        let fits = match self {
            // Handlers, suites and service ports say more than "no": who reads them refuses them.
            Self::Handlers
            | Self::CipherSuites
            | Self::ServicePorts
            | Self::Text
            | Self::Secret
            | Self::Words
            | Self::Path
            | Self::List
            | Self::Tree => true,
            Self::Flag => flag(text).is_some(),
            Self::Duration => duration(text).is_some(),
            Self::Whole(from, to) => whole(text).is_some_and(|n| (from..=to).contains(&n)),
            Self::Share => share(text).is_some(),
            Self::Choice(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            Self::Listen => text.eq_ignore_ascii_case("off") || socket(text).is_some(),
            Self::Urls => !urls(text).is_empty() && urls(text).iter().all(|url| is_url(url)),
            Self::Ports => words(text).all(|word| port(word).is_some()),
            Self::Addresses => words(text).all(|word| word.parse::<IpAddr>().is_ok()),
        };
        (!fits)
            .then(|| format!("\"{}\" is not allowed here: write {}", short(text), self.allowed()))
    }

    /// What is allowed, in words.
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Text | Self::Secret => "text".into(),
            Self::Flag => "true or false".into(),
            Self::Duration => "a number with its unit, as in 30s, 1m30s or 500ms".into(),
            Self::Whole(from, u64::MAX) => format!("a whole number from {from}"),
            Self::Whole(from, to) => format!("a whole number from {from} to {to}"),
            Self::Share => "a number from 0 to 1, as in 0.05".into(),
            Self::Choice(words) => {
                let words: Vec<_> = words
                    .iter()
                    .map(|word| if word.is_empty() { "nothing" } else { word })
                    .collect();
                format!("one of {}", words.join(", "))
            }
            Self::Listen => "an IP address and a port, as in 127.0.0.1:30101, or off".into(),
            Self::Urls => {
                "http://host:port or https://host:port, with commas between several".into()
            }
            Self::Handlers => "names of handlers with commas between them".into(),
            Self::Words => "words with commas between them, or a list".into(),
            Self::CipherSuites => format!("names from {}", CIPHER_SUITES.join(", ")),
            Self::Path => "the path of a file".into(),
            Self::ServicePorts => {
                "protocol:port with commas between, as in rest:8080,grpc:9000".into()
            }
            Self::Ports => "ports from 1 to 65535 with commas between them".into(),
            Self::Addresses => "IP addresses with commas between them".into(),
            Self::List => "a list".into(),
            Self::Tree => "rules".into(),
        }
    }
}

/// As much of a wrong value as a message can take.
pub(super) fn short(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= 60 {
        plain.collect()
    } else {
        plain.take(57).chain("...".chars()).collect()
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Never zero: every duration here is a period or a deadline.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
}

pub(super) fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A share, in millionths.
pub(super) fn share(text: &str) -> Option<u32> {
    let share: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a share")]
    let millionths = |share: f64| (share * 1e6).round() as u32;
    (0.0..=1.0).contains(&share).then(|| millionths(share))
}

pub(super) fn port(text: &str) -> Option<u16> {
    whole(text).and_then(|n| u16::try_from(n).ok()).filter(|port| *port > 0)
}

pub(super) fn socket(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| address.port() > 0)
}

/// The words of a list with commas, trimmed, the empty ones left out.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Addresses with their scheme; `http` where none is written.
pub(super) fn urls(text: &str) -> Vec<String> {
    let with_scheme = |word: &str| {
        let (scheme, rest) = word.split_once("://").unwrap_or(("http", word));
        format!("{scheme}://{}", rest.trim_end_matches('/'))
    };
    words(text).map(with_scheme).collect()
}

fn is_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split_once('?').map_or(rest, |(authority, _)| authority);
    matches!(scheme, "http" | "https" | "grpc" | "xds")
        && mesh::Authority::parse(authority).is_ok_and(|authority| !authority.host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Kind;
    use crate::configuration::yaml::Content;

    #[test]
    fn values_and_what_is_allowed() {
        for (kind, good, wrong) in [
            (Kind::Flag, &["true", "No", "on", "0"][..], &["maybe", "2"][..]),
            (Kind::Duration, &["30s", "1m30s", "500ms", "1m 30s"], &["30", "-1s", "0s", "soon"]),
            (
                Kind::Whole(1, 9),
                &["1", "9"],
                &["0", "10", "-1", "1.5", "x", "99999999999999999999"],
            ),
            (Kind::Share, &["0", "1", "0.05", ".5", "1.0"], &["-0.1", "1.1", "5%", "NaN", "x"]),
            (Kind::Choice(&["sc", "pilot"]), &["sc", "PILOT"], &["eureka"]),
            (
                Kind::Listen,
                &["127.0.0.1:1", "[::1]:2", "off"],
                &["127.0.0.0.1:1", "localhost:1", "1", "127.0.0.1:0"],
            ),
            (
                Kind::Urls,
                &["http://a:1", "a:1", "https://a:1,http://b", "http://[::1]:30100/"],
                &["http://", "ftp://a", "http://a:99999", ",", "http://u@h:1"],
            ),
            (Kind::Ports, &["8080", "1, 2"], &["0", "x", "70000"]),
            (Kind::Addresses, &["10.0.0.1", "10.0.0.1,::1"], &["10.0.0", "host"]),
        ] {
            let refusal = |text: &&str| kind.refusal(&Content::Scalar((*text).to_owned()));
            assert!(good.iter().all(|text| refusal(text).is_none()), "{kind:?} {good:?}");
            for text in wrong {
                let refusal = refusal(text).unwrap_or_else(|| panic!("{kind:?} {text}"));
                assert!(refusal.contains("not allowed here: write "), "{refusal}");
            }
        }
    }
}
