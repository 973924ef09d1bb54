//! Load over TLS and HTTP/2, from a thread of its own.
//!
//! - [`mod@closed`]: each connection sends the next review when it has the last answer. This finds the
//!   most a server can do; its latencies are those of a server that is never idle.
//! - [`mod@open`]: reviews are due at a fixed rate, whatever the server does, and a latency counts from
//!   when its review was due. So a pause of the server shows in every review it held up.
//!
//! Every answer has to be what the first was: anything else ends the run with its reason.

mod closed;
mod connection;
mod open;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use tokio::runtime::{Builder, Runtime};

pub use closed::closed;
pub use connection::Connection;
pub use open::{Pace, open};

pub use crate::latencies::Latencies;
use crate::process::Cpu;

/// Who is asked, and what.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Path of the webhook.
    pub path: &'static str,
    /// The process whose CPU time counts.
    pub pid: u32,
    /// A file with the authorities to trust, read for each new connection.
    pub ca: PathBuf,
    /// The review.
    pub body: Bytes,
    /// Text without which an answer is wrong.
    pub expected: &'static str,
}

/// What one run measured.
#[derive(Debug, Clone)]
pub struct Run {
    /// Reviews that were answered.
    pub reviews: usize,
    /// From the first review to the last answer.
    pub elapsed: Duration,
    /// What the server's process took meanwhile.
    pub cpu: Cpu,
    /// Of every review.
    pub latencies: Latencies,
    /// Connections made while it ran.
    pub reconnects: usize,
}

impl Run {
    /// Reviews a second.
    pub fn rate(&self) -> f64 {
        per(self.reviews, self.elapsed)
    }

    /// Reviews for each second of the server's CPU time.
    pub fn per_cpu_second(&self) -> f64 {
        per(self.reviews, self.cpu.total())
    }
}

fn per(count: usize, time: Duration) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from) / time.as_secs_f64()
}

/// What runs the load: one thread, so that on a small machine it takes no more than one core.
pub fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the load's runtime")
}
