//! The open loop: reviews come when they are due.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Connection, Latencies, Run, Target};
use crate::process::Cpu;

/// Reviews under way at once: below what an injector admits by default. On a machine that stands
/// still for a moment the others wait here, and their latency counts on.
const MOST_UNDER_WAY: usize = 400;

/// When reviews are due, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Reviews a second.
    pub rate: f64,
    /// How many in all.
    pub reviews: usize,
    /// Connections they take turns on.
    pub connections: usize,
    /// How long a connection lives before another takes its place; `None`: to the end.
    pub life: Option<Duration>,
}

/// Sends reviews at `pace`.
pub async fn open(target: &Arc<Target>, pace: Pace) -> Result<Run> {
    let mut pool = Vec::new();
    for _ in 0..pace.connections {
        let mut connection = Connection::open(target).await?;
        connection.review().await?;
        pool.push(connection);
    }
    let mut renewal = Renewal::every(pace);
    let (mut making, mut under_way) = (JoinSet::new(), JoinSet::new());
    let (mut sent, mut reconnects) = (0, 0);
    let mut latencies = Vec::with_capacity(pace.reviews);
    let before = Cpu::of(target.pid)?;
    let started = Instant::now();
    let mut clock = clock(started, pace);
    while latencies.len() < pace.reviews {
        tokio::select! {
            biased;
            Some(due) = clock.recv(), if under_way.len() < MOST_UNDER_WAY => {
                let mut connection = pool[sent % pace.connections].clone();
                sent += 1;
                under_way.spawn(async move {
                    connection.review().await?;
                    anyhow::Ok(due.elapsed())
                });
            }
            // A failure ends the run at once.
            Some(ended) = under_way.join_next() => {
                latencies.push(ended.context("a review's task panicked")??);
            }
            Some(made) = making.join_next() => {
                let (place, connection) = made.context("a connection's task panicked")?;
                pool[place] = connection?;
                reconnects += 1;
            }
            place = renewal.due() => {
                let target = Arc::clone(target);
                making.spawn(async move { (place, Connection::open(&target).await) });
            }
        }
    }
    let elapsed = started.elapsed();
    let cpu = Cpu::of(target.pid)?.since(before);
    let latencies = Latencies::of(latencies);
    Ok(Run { reviews: pace.reviews, elapsed, cpu, latencies, reconnects })
}

/// Tells when a review is due, and that it was due then, however late it is told. On a thread of
/// its own, with the kernel's timer: tokio's rings on whole milliseconds, and several are due in
/// one.
fn clock(started: Instant, pace: Pace) -> UnboundedReceiver<Instant> {
    let (send, receive) = unbounded_channel();
    thread::spawn(move || {
        for number in 0..pace.reviews {
            let number = u32::try_from(number).map_or(f64::INFINITY, f64::from);
            let due = started + Duration::from_secs_f64(number / pace.rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Nobody listens any more: the run has failed.
            if send.send(due).is_err() {
                return;
            }
        }
    });
    receive
}

/// When which connection gives its place to a new one: one after the other.
struct Renewal {
    clock: Option<Interval>,
    places: usize,
    next: usize,
}

impl Renewal {
    fn every(pace: Pace) -> Self {
        let places = pace.connections;
        let clock = pace.life.map(|life| {
            let mut clock = interval(life / u32::try_from(places).unwrap_or(u32::MAX));
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
        Self { clock, places, next: 0 }
    }

    /// The place that is to be renewed, as soon as one is; never without a life.
    async fn due(&mut self) -> usize {
        match &mut self.clock {
            Some(clock) => clock.tick().await,
            None => std::future::pending().await,
        };
        let place = self.next;
        self.next = (place + 1) % self.places;
        place
    }
}
