//! How much later answers come through a proxy that has time for them.

use bench::proxy::{Machine, Pace, Peer};
use bench::report::Table;

use super::cells::{Cell, DIRECT, Kind, distinct, over, paired};
use super::{Arguments, BOUNDED};

/// On which requests take turns.
pub(crate) const CONNECTIONS: usize = 16;

/// Fixed rates, the same for all: shares of what the slowest does at most.
pub(crate) fn run(
    arguments: &Arguments,
    machine: &mut Machine,
    peers: &[Peer],
    closed: &[Cell],
) -> (Vec<Cell>, Table) {
    let peers = peers.iter().filter(|peer| peer.name != BOUNDED);
    let everybody: Vec<Option<&Peer>> = peers.map(Some).chain([None]).collect();
    let scenarios = arguments.scenarios();
    let mut cells = Vec::new();
    for round in 0..arguments.rounds {
        for scenario in scenarios.iter().filter(|scenario| !scenario.churn) {
            for share in arguments.rates() {
                let rate = (slowest(closed, scenario.name) * share).round();
                if rate < 1.0 {
                    continue;
                }
                for turn in 0..everybody.len() {
                    let kind = Kind {
                        scenario: *scenario,
                        connections: CONNECTIONS,
                        pace: Pace::Open(rate),
                        time: arguments.time(),
                        round,
                        lenient: false,
                    };
                    let peer = everybody[(turn + round) % everybody.len()];
                    let Some(cell) = Cell::measure(machine, peer, kind) else { continue };
                    eprintln!(
                        "round {} of {}: {}, {rate:.0} a second, {}: p99 {:.3} ms{}",
                        round + 1,
                        arguments.rounds,
                        cell.scenario,
                        cell.proxy,
                        cell.latencies[1],
                        cell.void.as_ref().map(|why| format!(", void: {why}")).unwrap_or_default()
                    );
                    cells.push(cell);
                }
            }
        }
    }
    let table = table(&cells);
    print!("{table}");
    (cells, table)
}

/// What the slowest proxy does of a scenario; 0: nothing is known.
pub(crate) fn slowest(closed: &[Cell], scenario: &str) -> f64 {
    let rates = distinct(closed, |cell| cell.proxy.clone()).into_iter().filter_map(|proxy| {
        let own = closed.iter().filter(|cell| {
            let here = cell.scenario == scenario && cell.proxy == proxy && proxy != DIRECT;
            here && cell.requests > 0 && (cell.connections == CONNECTIONS)
        });
        let rates: Vec<f64> = own.map(|cell| cell.per_second).collect();
        (!rates.is_empty()).then(|| bench::report::Spread::of(rates).median)
    });
    let slowest = rates.fold(f64::INFINITY, f64::min);
    if slowest.is_finite() { slowest } else { 0.0 }
}

fn table(cells: &[Cell]) -> Table {
    let mut table = Table::new(
        format!(
            "Fixed rates on {CONNECTIONS} connections, in ms from when a request was due; added: \
             more than without a proxy in the same round"
        ),
        &[
            "scenario",
            "requests/s",
            "proxy",
            "p50",
            "p99",
            "p99.9",
            "added p50",
            "added p99",
            "added p99.9",
        ],
    );
    for scenario in distinct(cells, |cell| cell.scenario) {
        for due in distinct(cells, |cell| cell.due.to_bits()) {
            let here: Vec<&Cell> = cells
                .iter()
                .filter(|cell| cell.scenario == scenario && cell.due.to_bits() == due)
                .collect();
            for proxy in distinct(cells, |cell| cell.proxy.clone()) {
                let own: Vec<&Cell> =
                    here.iter().copied().filter(|cell| cell.proxy == proxy).collect();
                if own.is_empty() {
                    continue;
                }
                let quantile = |at: usize| over(own.iter().copied(), move |c| c.latencies[at]);
                let added = |at: usize| {
                    let more =
                        move |it: &Cell, direct: &Cell| it.latencies[at] - direct.latencies[at];
                    paired(&here, &proxy, DIRECT, more).to_text(3)
                };
                let head =
                    [scenario.to_owned(), format!("{:.0}", f64::from_bits(due)), proxy.clone()];
                let own = [0, 1, 2].map(|at| quantile(at).to_text(3));
                let added =
                    [0, 1, 2].map(|at| if proxy == DIRECT { "–".into() } else { added(at) });
                table.row(head.into_iter().chain(own).chain(added));
            }
        }
    }
    table
}
