//! How exactly a rate limit is kept when far more comes.

use std::time::Duration;

use anyhow::Result;
use bench::proxy::{LIMIT, Machine, Pace, Peer, named};
use bench::report::Table;

use super::Arguments;
use super::cells::{Cell, Kind, over};

/// Of each round.
const TIME: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 16;
/// So many times the limit is offered.
const TIMES: f64 = 4.0;

/// Offers four times what is let through. What may come at once is used up while the load warms up.
pub(crate) fn run(
    arguments: &Arguments,
    machine: &mut Machine,
    peer: &Peer,
) -> Result<(Vec<Cell>, Table)> {
    let kind = |round| {
        Ok::<_, anyhow::Error>(Kind {
            scenario: named("get-0").map_err(anyhow::Error::msg)?,
            connections: CONNECTIONS,
            pace: Pace::Flood(TIMES * f64::from(LIMIT)),
            time: TIME,
            round,
            lenient: true,
        })
    };
    let mut cells = Vec::new();
    for round in 0..arguments.rounds {
        cells.extend(Cell::measure(machine, Some(peer), kind(round)?));
    }
    let head = ["proxy", "offered/s", "let through/s", "of the limit", "refused", "p99 ms"];
    let title = format!("A limit of {LIMIT} a second, over {} s", TIME.as_secs());
    let mut table = Table::new(title, &head);
    let of = |value: fn(&Cell) -> f64| over(&cells, value);
    table.row([
        peer.name.clone(),
        of(|cell| cell.due).to_text(0),
        of(|cell| cell.per_second).to_text(1),
        of(share).to_text(4),
        cells.iter().map(|cell| cell.failed).sum::<usize>().to_string(),
        of(|cell| cell.latencies[1]).to_text(1),
    ]);
    print!("{table}");
    Ok((cells, table))
}

/// What was let through, as a share of what may be.
fn share(cell: &Cell) -> f64 {
    cell.per_second / f64::from(LIMIT)
}

/// By which share of the limit it was missed in the worst round, to either side.
pub(crate) fn error(cells: &[Cell]) -> f64 {
    let found = over(cells.iter().filter(|cell| cell.proxy == super::LIMITED), share);
    (found.max - 1.0).abs().max((found.min - 1.0).abs())
}
