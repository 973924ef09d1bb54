//! One measurement, and what many of them say together.

use std::rc::Rc;
use std::time::Duration;

use bench::proxy::{Call, Load, Machine, Pace, Peer, Run, Scenario, Until};
use bench::report::{Spread, micros, millis};
use serde::Serialize;

/// Before anything is counted.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);
/// The load and the backends alone.
pub(crate) const DIRECT: &str = "direct";

/// What one run measured, for the tables and for whoever reads the file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) scenario: &'static str,
    pub(crate) proxy: String,
    pub(crate) connections: usize,
    /// Requests a second that were due; 0: the closed loop.
    pub(crate) due: f64,
    pub(crate) round: usize,
    /// Why it does not count.
    pub(crate) void: Option<String>,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) per_second: f64,
    pub(crate) per_cpu_second: f64,
    pub(crate) user_micros: f64,
    pub(crate) system_micros: f64,
    /// How much of the time the proxy was busy.
    pub(crate) busy: f64,
    /// Milliseconds: p50, p99, p99.9.
    pub(crate) latencies: [f64; 3],
}

/// What is measured in one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) scenario: Scenario,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) time: Duration,
    pub(crate) round: usize,
    /// Whether requests may fail.
    pub(crate) lenient: bool,
}

impl Cell {
    /// Measures. `peer`: `None`: without a proxy. The result is `None` where it does not speak that.
    pub(crate) fn measure(machine: &mut Machine, peer: Option<&Peer>, kind: Kind) -> Option<Self> {
        let spoken = kind.scenario.spoken;
        let target = match peer {
            None => machine.backends(spoken).first().copied(),
            Some(peer) => peer.address(spoken),
        };
        let target = target?;
        let watched = peer.map(Peer::processes).unwrap_or_default();
        let run = machine.run(&Load {
            target,
            call: &Rc::new(Call::of(kind.scenario)),
            connections: kind.connections,
            pace: kind.pace,
            warm_up: WARM_UP,
            until: Until::Time(kind.time),
            watched: &watched,
        });
        let name = peer.map_or(DIRECT, |peer| peer.name.as_str());
        Some(match run {
            Ok(run) => Self::of(name, kind, &run),
            Err(error) => {
                Self { void: Some(format!("{error:#}")), ..Self::of(name, kind, &Run::default()) }
            }
        })
    }

    fn of(name: &str, kind: Kind, run: &Run) -> Self {
        let failed = run.ill + run.unanswered;
        let well = u32::try_from(run.in_time).map_or(f64::INFINITY, f64::from);
        let seconds = |time: Duration| time.as_secs_f64();
        let void = (failed > 0 && !kind.lenient)
            .then(|| format!("{} answered otherwise, {} not at all", run.ill, run.unanswered));
        let due = match kind.pace {
            Pace::Closed => 0.0,
            Pace::Open(rate) | Pace::Flood(rate) => rate,
        };
        Self {
            scenario: kind.scenario.name,
            proxy: name.to_owned(),
            connections: kind.connections,
            due,
            round: kind.round,
            void,
            requests: run.well,
            failed,
            per_second: well / seconds(run.elapsed),
            per_cpu_second: well / seconds(run.cpu.total()),
            user_micros: micros(run.cpu.user) / well,
            system_micros: micros(run.cpu.system) / well,
            busy: seconds(run.cpu.total()) / seconds(run.elapsed),
            latencies: [0.5, 0.99, 0.999].map(|share| millis(run.latencies.quantile(share))),
        }
    }
}

/// One quantity of all rounds that count.
pub(crate) fn over<'a>(
    cells: impl IntoIterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> f64,
) -> Spread {
    Spread::of(cells.into_iter().filter(|cell| cell.void.is_none()).map(value))
}

/// A quantity of one proxy, made of its own cell and that of another in the same round.
pub(crate) fn paired(
    cells: &[&Cell],
    proxy: &str,
    other: &str,
    value: impl Fn(&Cell, &Cell) -> f64,
) -> Spread {
    let of = |name: &str, round: usize| {
        let found = cells.iter().find(|cell| cell.proxy == name && cell.round == round);
        found.filter(|cell| cell.void.is_none())
    };
    let rounds = cells.iter().map(|cell| cell.round).max().unwrap_or(0);
    let pairs = (0..=rounds).filter_map(|round| Some((of(proxy, round)?, of(other, round)?)));
    Spread::of(pairs.map(|(one, other)| value(one, other)))
}

/// The different values of `cells`, in the order of their first.
pub(crate) fn distinct<T: PartialEq>(cells: &[Cell], value: impl Fn(&Cell) -> T) -> Vec<T> {
    distinct_of(cells, value)
}

/// The same of anything.
pub(crate) fn distinct_of<C, T: PartialEq>(all: &[C], value: impl Fn(&C) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for value in all.iter().map(value) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}
