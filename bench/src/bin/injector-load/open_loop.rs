//! How long answers take when the servers have time for them.

use anyhow::{Context, Result};
use bench::load::{Pace, Run, open};
use bench::report::{Spread, Table, millis};
use tokio::runtime::Runtime;

use super::{Arguments, OPEN_CONNECTIONS, Servers};

/// What [`at_half`] found.
pub(crate) struct Paced {
    pub(crate) table: Table,
    /// Of the injector, in milliseconds.
    pub(crate) p99: f64,
}

/// The open loop at half of what the injector does at most.
pub(crate) fn at_half(
    runtime: &Runtime,
    servers: &Servers,
    arguments: &Arguments,
    rate: f64,
) -> Result<Paced> {
    let mut runs = vec![Vec::new(); servers.named.len()];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let reviews = (rate * arguments.seconds) as usize;
    let pace = Pace { rate, reviews, connections: OPEN_CONNECTIONS, life: None };
    for round in 0..arguments.rounds {
        for turn in 0..servers.named.len() {
            let which = (turn + round) % servers.named.len();
            let (name, server) = &servers.named[which];
            let run = runtime.block_on(open(&servers.targets[which], pace));
            let run = run.with_context(|| format!("{name}, {rate:.0} a second"))?;
            eprintln!(
                "round {} of {}: {name}, {rate:.0} a second: p99 {:.2} ms",
                round + 1,
                arguments.rounds,
                millis(run.latencies.quantile(0.99))
            );
            server.truncate_log()?;
            runs[which].push(run);
        }
    }
    let mut table = Table::new(
        format!("Open loop, {rate:.0} reviews a second on {OPEN_CONNECTIONS} connections, in ms"),
        &["server", "p50", "p99", "p99.9", "CPU %"],
    );
    let mut p99 = f64::NAN;
    for ((name, _), runs) in servers.named.iter().zip(&runs) {
        let of = |share| Spread::of(runs.iter().map(|r| millis(r.latencies.quantile(share))));
        if p99.is_nan() {
            p99 = of(0.99).median;
        }
        let cpu = |run: &Run| 100.0 * run.cpu.total().as_secs_f64() / run.elapsed.as_secs_f64();
        let cpu = Spread::of(runs.iter().map(cpu));
        let cells = [of(0.5), of(0.99), of(0.999)].map(|spread| spread.to_text(2));
        table.row(std::iter::once((*name).to_owned()).chain(cells).chain([cpu.to_text(0)]));
    }
    Ok(Paced { table, p99 })
}
