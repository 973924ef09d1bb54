//! Certificates as clients, operators and time meet them.

mod handshake;
mod issuing;
mod lifecycle;
mod passwords;
mod replicas;
mod serving;

use std::time::{Duration, SystemTime};

use certs::{Names, Term, Terms};

/// A fixed instant: nothing here reads the clock unless a socket is involved.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// CA: 1000 s, renewed after 800. Leaf: 100 s, renewed after 60. Settling: 10 s. Skew: 5 s.
fn short_terms() -> Terms {
    Terms {
        ca: Term { lifetime: seconds(1000), renew_after: seconds(800) },
        leaf: Term { lifetime: seconds(100), renew_after: seconds(60) },
        clock_skew: seconds(5),
        settle: seconds(10),
    }
}

fn names() -> Names {
    Names::of_service("web", "default")
        .and_then(|names| names.with_url("https://127.0.0.1:9443/mutate"))
        .expect("names")
}
