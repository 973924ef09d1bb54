//! How much the servers do at most.

use std::time::Duration;

use anyhow::{Context, Result};
use bench::load::{Run, closed};
use bench::report::{Spread, Table, micros, millis};
use tokio::runtime::Runtime;

use super::{Arguments, CONNECTIONS, Servers};

/// The most the injector does.
pub(crate) struct Most {
    /// Reviews a second.
    pub(crate) rate: f64,
    /// Reviews for a second of its CPU time, on the number of connections that takes most of it.
    pub(crate) per_cpu_second: f64,
}

/// The closed loop: everything in turn, round after round, so that what else the machine does
/// meets all alike.
pub(crate) fn throughput(
    runtime: &Runtime,
    servers: &Servers,
    arguments: &Arguments,
) -> Result<(Most, Vec<Table>)> {
    let time = Duration::from_secs_f64(arguments.seconds);
    let mut runs = vec![vec![Vec::new(); servers.named.len()]; CONNECTIONS.len()];
    for target in &servers.targets {
        runtime.block_on(closed(target, 16, time / 2)).context("warming up")?;
    }
    for round in 0..arguments.rounds {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            for turn in 0..servers.named.len() {
                let which = (turn + round) % servers.named.len();
                let run = runtime.block_on(closed(&servers.targets[which], connections, time));
                let (name, server) = &servers.named[which];
                let run = run.with_context(|| format!("{name}, {connections} connections"))?;
                eprintln!(
                    "round {} of {}: {name}, {connections} connections: {:.0}/s, {:.0} per CPU second",
                    round + 1,
                    arguments.rounds,
                    run.rate(),
                    run.per_cpu_second()
                );
                server.truncate_log()?;
                runs[at][which].push(run);
            }
        }
    }
    let mut table = Table::new(
        "Closed loop, typical pod: median (least–most) of the rounds",
        &[
            "server",
            "connections",
            "reviews/s",
            "per CPU second",
            "user µs",
            "system µs",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
        ],
    );
    let mut most = Most { rate: 0.0, per_cpu_second: f64::INFINITY };
    for (which, (name, _)) in servers.named.iter().enumerate() {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            let runs = &runs[at][which];
            let over = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value));
            let (rate, per_cpu) = (over(&Run::rate), over(&Run::per_cpu_second));
            if which == 0 {
                most.rate = most.rate.max(rate.median);
                most.per_cpu_second = most.per_cpu_second.min(per_cpu.median);
            }
            table.row([
                (*name).to_owned(),
                connections.to_string(),
                rate.to_text(0),
                per_cpu.to_text(0),
                over(&|run| share(run, run.cpu.user)).to_text(0),
                over(&|run| share(run, run.cpu.system)).to_text(0),
                over(&|run| millis(run.latencies.quantile(0.5))).to_text(2),
                over(&|run| millis(run.latencies.quantile(0.99))).to_text(2),
                over(&|run| millis(run.latencies.quantile(0.999))).to_text(2),
            ]);
        }
    }
    print!("{table}");
    let mut ratios = Table::new(
        "CPU time of a review, as a multiple of the injector's in the same round",
        &["server", "1 connection", "16 connections", "128 connections"],
    );
    for (which, (name, _)) in servers.named.iter().enumerate().skip(1) {
        let ratio = |at: usize| {
            let pairs = runs[at][which].iter().zip(&runs[at][0]);
            Spread::of(pairs.map(|(other, own)| own.per_cpu_second() / other.per_cpu_second()))
        };
        let cells = (0..CONNECTIONS.len()).map(|at| ratio(at).to_text(2));
        ratios.row(std::iter::once((*name).to_owned()).chain(cells));
    }
    print!("{ratios}");
    Ok((most, vec![table, ratios]))
}

/// Microseconds of `time` for each review.
fn share(run: &Run, time: Duration) -> f64 {
    micros(time) / u32::try_from(run.reviews).map_or(f64::INFINITY, f64::from)
}
