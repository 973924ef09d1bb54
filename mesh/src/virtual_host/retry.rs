//! When a request that failed is tried again.

use std::time::Duration;

/// How often and for what a request is tried again, where a rule says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What has to have happened; any of them.
    pub on: Vec<RetryOn>,
    /// Tries after the first.
    pub retries: u32,
    /// What each try may take; `None`: whatever is left of the request's own time.
    pub per_try_timeout: Option<Duration>,
    /// The statuses that [`RetryOn::Statuses`] means.
    pub statuses: Vec<u16>,
    /// The wait before the first retry; it doubles with each, and is drawn from nothing to that.
    pub base_interval: Duration,
    /// What it never exceeds.
    pub max_interval: Duration,
    /// Whether endpoints that failed already are left out where there are others.
    pub others_first: bool,
}

/// What may be a reason to try again. The words are Envoy's (`x-envoy-retry-on` and
/// `x-envoy-retry-grpc-on`), which Istio takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryOn {
    /// `5xx`: a status from 500 on, or no response at all.
    ServerError,
    /// `gateway-error`: 502, 503 or 504.
    GatewayError,
    /// `reset`: the connection or stream ended before a response.
    Reset,
    /// `reset-before-request`: and before the request's head had gone out.
    ResetBeforeRequest,
    /// `connect-failure`: no connection came about.
    ConnectFailure,
    /// `refused-stream`: HTTP/2 says that the request was not looked at.
    RefusedStream,
    /// `retriable-4xx`: 409.
    Conflict,
    /// `retriable-status-codes`: those that the policy names.
    Statuses,
    /// `cancelled`: gRPC status 1.
    GrpcCancelled,
    /// `deadline-exceeded`: gRPC status 4.
    GrpcDeadlineExceeded,
    /// `internal`: gRPC status 13.
    GrpcInternal,
    /// `resource-exhausted`: gRPC status 8.
    GrpcResourceExhausted,
    /// `unavailable`: gRPC status 14.
    GrpcUnavailable,
}

impl RetryOn {
    /// All there are, with their words.
    pub const ALL: [(&'static str, Self); 13] = [
        ("5xx", Self::ServerError),
        ("gateway-error", Self::GatewayError),
        ("reset", Self::Reset),
        ("reset-before-request", Self::ResetBeforeRequest),
        ("connect-failure", Self::ConnectFailure),
        ("refused-stream", Self::RefusedStream),
        ("retriable-4xx", Self::Conflict),
        ("retriable-status-codes", Self::Statuses),
        ("cancelled", Self::GrpcCancelled),
        ("deadline-exceeded", Self::GrpcDeadlineExceeded),
        ("internal", Self::GrpcInternal),
        ("resource-exhausted", Self::GrpcResourceExhausted),
        ("unavailable", Self::GrpcUnavailable),
    ];

    /// The condition of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, on)| *on)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, on)| *on == self).map_or("", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::RetryOn;

    #[test]
    fn each_condition_has_its_word() {
        for (word, on) in RetryOn::ALL {
            assert_eq!((RetryOn::of_word(word), on.word()), (Some(on), word));
        }
        assert_eq!(RetryOn::of_word("envoy-ratelimited"), None);
    }
}
