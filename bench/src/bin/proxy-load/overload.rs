//! What remains when twice as much comes as a proxy can do.

use anyhow::Result;
use bench::proxy::{Machine, Pace, Peer, named};
use bench::report::{Spread, Table};

use super::Arguments;
use super::cells::{Cell, Kind, over};

/// Enough for requests to queue up in the proxy and not only before it.
const CONNECTIONS: usize = 1000;
const SCENARIO: &str = "get-0";

/// Offers each proxy twice what it did on most connections. What was not answered in time is told.
pub(crate) fn run(
    arguments: &Arguments,
    machine: &mut Machine,
    peers: &[Peer],
    closed: &[Cell],
) -> Result<(Vec<Cell>, Table)> {
    let scenario = named(SCENARIO).map_err(anyhow::Error::msg)?;
    let mut cells = Vec::new();
    for round in 0..arguments.rounds {
        for peer in peers {
            let own = closed.iter().filter(|cell| {
                cell.proxy == peer.name && cell.scenario == SCENARIO && cell.requests > 0
            });
            let most = Spread::of(own.map(|cell| cell.per_second)).max;
            if !most.is_finite() {
                continue;
            }
            let kind = Kind {
                scenario,
                connections: CONNECTIONS,
                pace: Pace::Open(2.0 * most),
                time: arguments.time(),
                round,
                lenient: true,
            };
            if let Some(cell) = Cell::measure(machine, Some(peer), kind) {
                eprintln!("overload, {}: {:.0}/s answered", peer.name, cell.per_second);
                cells.push(cell);
            }
        }
    }
    let mut table = Table::new(
        format!("Twice as much as there is time for, on {CONNECTIONS} connections"),
        &["proxy", "offered/s", "answered well/s", "failed", "p50 ms", "p99 ms"],
    );
    for peer in peers {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.proxy == peer.name).collect();
        if own.is_empty() {
            continue;
        }
        let of = |value: fn(&Cell) -> f64| over(own.iter().copied(), value);
        let failed: usize = own.iter().map(|cell| cell.failed).sum();
        table.row([
            peer.name.clone(),
            of(|cell| cell.due).to_text(0),
            of(|cell| cell.per_second).to_text(0),
            failed.to_string(),
            of(|cell| cell.latencies[0]).to_text(1),
            of(|cell| cell.latencies[1]).to_text(1),
        ]);
    }
    print!("{table}");
    Ok((cells, table))
}
