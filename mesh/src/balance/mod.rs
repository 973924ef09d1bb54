//! Which endpoint of a route takes a request.
//!
//! A [`Strategy`] names one, by what it looks at: whose turn it is, chance, how fast each answers,
//! or something of the request. [`choose`](crate::choose) then makes sure that it can be used, or
//! takes the next that can.

mod affinity;
mod latency;
mod maglev;
mod outlier;
mod pick;
mod ring;
mod slow_start;

use std::time::Duration;

pub use affinity::{HashOn, hash, session};
pub use latency::Latency;
pub use maglev::Maglev;
pub use outlier::{Outliers, Rates, Streak, SuccessRate};
pub use pick::{fastest_mostly, lesser_of_two};
pub use ring::Ring;
pub use slow_start::is_warm;

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The fastest for seven of ten requests, and one after the other for the rest.
    WeightedResponse,
    /// The one that took the client's last request, as a cookie says.
    SessionStickiness(Stickiness),
    /// Of two, the one with less to do, by how fast it answers and what it has in flight.
    LeastLoaded,
    /// By something of the request, on a ring: few requests move when endpoints come and go.
    RingHash(HashOn),
    /// The same by a table: more even, and a few more requests move.
    Maglev(HashOn),
}

/// How long a session stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stickiness {
    /// `sessionTimeoutInSeconds`: without a request for as long, it is over.
    pub timeout: Duration,
    /// `successiveFailedTimes`: so many failures in a row, and it goes elsewhere.
    pub failures: u32,
}

impl Default for Stickiness {
    /// The defaults of go-chassis.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), failures: 5 }
    }
}

impl Strategy {
    /// Whether it needs to know how long endpoints take.
    pub fn looks_at_latency(&self) -> bool {
        matches!(self, Self::WeightedResponse | Self::LeastLoaded)
    }
}

#[cfg(test)]
mod tests;
