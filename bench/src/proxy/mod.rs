//! Proxies under load: a generator and two backends on one thread, and the peers between them.
//!
//! Generator and backends share one event loop ([`Machine`]), so that on a machine with two
//! processors one is the proxy's alone, and the other does nothing but move bytes: no thread is
//! switched, nothing is allocated for a request, and a fixed rate is kept by looking at the clock
//! all the time rather than by timers. What is sent and answered is made before ([`Call`]).

mod backend;
mod client;
mod counts;
mod http1;
mod http2;
mod machine;
mod peers;
mod scenario;
mod socket;

use std::io;

pub use counts::{instructions, system_calls};
pub use machine::{Load, Machine, Pace, Run, Until};
pub use peers::{LIMIT, Launch, Missing, Peer, Program, Registry};
pub use scenario::{Call, SCENARIOS, Scenario, Spoken, named};

/// What is not as it has to be on a connection of the load or of a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// More bytes than the length said, or a message nobody asked for.
    #[error("more bytes came than were announced")]
    TooMuch,
    /// No head of HTTP/1.1.
    #[error("a head could not be read")]
    Head,
    /// A proxy has given up the length of a body.
    #[error("a body came in chunks, though it was sent with a length")]
    Chunked,
    /// Not HTTP/2.
    #[error("the connection does not begin as HTTP/2 does")]
    Preface,
    /// A frame that is too short.
    #[error("a frame could not be read")]
    Frame,
    /// The peer ends the connection; the number is its reason.
    #[error("the peer ended the connection with GOAWAY ({0})")]
    GoAway(u32),
    /// The peer closed it in the middle of something.
    #[error("the connection was closed too early")]
    Closed,
    /// The system's word.
    #[error("{0}")]
    System(String),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}
