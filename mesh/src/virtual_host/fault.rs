//! Faults that are made on purpose.

use std::time::Duration;

use super::{HeaderMatch, Share};

/// What is done to requests of a rule instead of, or before, sending them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// Which of them; all have to agree.
    pub headers: Vec<HeaderMatch>,
    /// Waits first.
    pub delay: Option<Delay>,
    /// Answers then.
    pub abort: Option<Abort>,
}

/// A wait before a request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub time: Duration,
    /// For how many of the requests.
    pub share: Share,
}

/// An answer that nobody gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// The status of HTTP.
    pub status: u16,
    /// The status of gRPC, where it is a call and this was said.
    pub grpc_status: Option<u32>,
    /// For how many of the requests.
    pub share: Share,
}
