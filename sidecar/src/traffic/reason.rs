//! In one word, why the proxy answered a request itself: the value of `x-mesher-error`.

use hyper::HeaderMap;

use super::headers::ERROR;

/// The words there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    BadUri,
    BodyTooLarge,
    NoInstance,
    DiscoveryUnavailable,
    PassthroughDenied,
    PortDenied,
    Loop,
    CircuitOpen,
    RateLimited,
    FaultInjected,
    Timeout,
    ConnectRefused,
    ConnectTimeout,
    TlsFailed,
    LocalRefused,
    UpstreamReset,
    Overload,
    Draining,
}

impl Reason {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 18] = [
        Self::BadUri,
        Self::BodyTooLarge,
        Self::NoInstance,
        Self::DiscoveryUnavailable,
        Self::PassthroughDenied,
        Self::PortDenied,
        Self::Loop,
        Self::CircuitOpen,
        Self::RateLimited,
        Self::FaultInjected,
        Self::Timeout,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::LocalRefused,
        Self::UpstreamReset,
        Self::Overload,
        Self::Draining,
    ];

    /// What a response says.
    pub(crate) fn told(headers: &HeaderMap) -> Option<Self> {
        let said = headers.get(ERROR)?;
        Self::ALL.into_iter().find(|reason| said == reason.word())
    }

    /// The word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::BadUri => "bad_uri",
            Self::BodyTooLarge => "body_too_large",
            Self::NoInstance => "no_instance",
            Self::DiscoveryUnavailable => "discovery_unavailable",
            Self::PassthroughDenied => "passthrough_denied",
            Self::PortDenied => "port_denied",
            Self::Loop => "loop",
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited => "rate_limited",
            Self::FaultInjected => "fault_injected",
            Self::Timeout => "timeout",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::LocalRefused => "local_refused",
            Self::UpstreamReset => "upstream_reset",
            Self::Overload => "overload",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn each_stands_at_its_place() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{}", reason.word());
        }
    }
}
