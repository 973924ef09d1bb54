//! When a request may be sent once more.

/// What ended an attempt before a response came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about.
    Connect,
    /// The connection ended before a byte of the request was written to it.
    NeverWritten,
    /// HTTP/2: the stream was refused (`REFUSED_STREAM`), or is above the last one that a GOAWAY
    /// says was looked at (RFC 9113 §8.7).
    RefusedStream,
    /// The peer's own proxy says that it did not hand the request on: it is draining, or its
    /// application refused the connection.
    PeerDeclined,
    /// A connection that had served before ended before a byte of the response came.
    ReusedConnectionDied,
    /// An answer came, with a status that counts as a failure.
    Status,
    /// A try took longer than one may take.
    TryTimeout,
    /// Anything else: the request may have been processed.
    Unknown,
}

impl Failure {
    /// It in one word, for people and for what counts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::NeverWritten => "never_written",
            Self::RefusedStream => "refused_stream",
            Self::PeerDeclined => "peer_declined",
            Self::ReusedConnectionDied => "reused_connection_died",
            Self::Status => "status",
            Self::TryTimeout => "try_timeout",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the request was certainly not processed.
    pub const fn is_unprocessed(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::NeverWritten | Self::RefusedStream | Self::PeerDeclined
        )
    }
}

/// Whether to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// To another instance where there is one.
    Again,
    /// The failure is the answer.
    GiveUp,
}

/// Resends once, and only what was certainly not processed, or may be processed twice.
///
/// `idempotent` is the method's property (RFC 9110 §9.2.2); `attempts` counts those made;
/// `replayable` says that nothing of the body is lost.
pub fn resend(failure: Failure, idempotent: bool, attempts: u32, replayable: bool) -> Resend {
    let stale = failure == Failure::ReusedConnectionDied && idempotent;
    let harmless = failure.is_unprocessed() || stale;
    if harmless && attempts < 2 && replayable { Resend::Again } else { Resend::GiveUp }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Resend, resend};

    #[test]
    fn only_what_was_not_processed_is_sent_again() {
        use Resend::{Again, GiveUp};
        for (failure, idempotent, otherwise) in [
            (Failure::Connect, Again, Again),
            (Failure::NeverWritten, Again, Again),
            (Failure::RefusedStream, Again, Again),
            (Failure::PeerDeclined, Again, Again),
            (Failure::ReusedConnectionDied, Again, GiveUp),
            (Failure::Status, GiveUp, GiveUp),
            (Failure::TryTimeout, GiveUp, GiveUp),
            (Failure::Unknown, GiveUp, GiveUp),
        ] {
            assert_eq!(resend(failure, true, 1, true), idempotent, "{failure:?}");
            assert_eq!(resend(failure, false, 1, true), otherwise, "{failure:?}");
            assert_eq!(resend(failure, true, 2, true), GiveUp, "once is enough");
            assert_eq!(resend(failure, true, 1, false), GiveUp, "the body is gone");
        }
    }
}
