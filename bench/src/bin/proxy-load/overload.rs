//! What remains when twice as much comes as a proxy can do.

use anyhow::Result;
use bench::proxy::{Machine, Pace, Peer, named};
use bench::report::{Spread, Table};

use super::cells::{Cell, Kind, over};
use super::{Arguments, BOUNDED, OURS};

/// Enough for requests to queue up in the proxy and not only before it.
pub(crate) const CONNECTIONS: usize = 1000;
const SCENARIO: &str = "get-0";

/// Offers each proxy twice what it can do: the most that it did on any number of connections. What is
/// to be seen is how much of what it does on as many connections it still does, and how long that
/// takes from when a request was sent.
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
            let most = rates(closed, &peer.name, None).max;
            if !most.is_finite() {
                continue;
            }
            let kind = Kind {
                scenario,
                connections: CONNECTIONS,
                pace: Pace::Flood(2.0 * most),
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
        &["proxy", "offered/s", "answered well/s", "of its most", "refused", "p50 ms", "p99 ms"],
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
            goodput(closed, &own, &peer.name).to_text(2),
            failed.to_string(),
            of(|cell| cell.latencies[0]).to_text(1),
            of(|cell| cell.latencies[1]).to_text(1),
        ]);
    }
    print!("{table}");
    Ok((cells, table))
}

/// The share that is left of what a proxy does on as many connections when it is not overloaded; where
/// that did not count, as the load was the limit, of the most that it does at all.
pub(crate) fn goodput(closed: &[Cell], overloaded: &[&Cell], proxy: &str) -> Spread {
    let own = rates(closed, proxy, Some(CONNECTIONS)).median;
    let most = if own.is_finite() { own } else { rates(closed, proxy, None).max };
    over(overloaded.iter().copied(), |cell| cell.per_second / most)
}

/// What a proxy did in the closed loop, on so many connections or on any number.
fn rates(closed: &[Cell], proxy: &str, connections: Option<usize>) -> Spread {
    // A bound changes nothing of what can be done.
    let proxy = if proxy == BOUNDED { OURS } else { proxy };
    let own = closed.iter().filter(|cell| {
        let asked = connections.is_none_or(|connections| cell.connections == connections);
        asked && cell.due == 0.0 && cell.proxy == proxy && cell.scenario == SCENARIO
    });
    Spread::of(own.filter(|cell| cell.requests > 0).map(|cell| cell.per_second))
}
