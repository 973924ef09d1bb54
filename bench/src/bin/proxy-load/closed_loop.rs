//! What a request costs when there is always a next one.

use bench::proxy::{Machine, Pace, Peer};
use bench::report::Table;

use super::cells::{Cell, DIRECT, Kind, distinct, over, paired};
use super::{Arguments, BOUNDED, OURS};

/// The load and the backends have to be able to do so many times what a proxy does, or the proxy
/// has to have been busy all the time: else not the proxy was measured.
pub(crate) const FASTER: f64 = 3.0;
/// As good as all the time.
pub(crate) const BUSY: f64 = 0.8;

/// Everything in turn, round after round, so that what else the machine does meets all alike.
pub(crate) fn run(arguments: &Arguments, machine: &mut Machine, peers: &[Peer]) -> Vec<Cell> {
    let peers = peers.iter().filter(|peer| peer.name != BOUNDED);
    let everybody: Vec<Option<&Peer>> = peers.map(Some).chain([None]).collect();
    let mut cells = Vec::new();
    for round in 0..arguments.rounds {
        for scenario in arguments.scenarios() {
            for connections in arguments.connections() {
                for turn in 0..everybody.len() {
                    let peer = everybody[(turn + round) % everybody.len()];
                    let kind = Kind {
                        scenario,
                        connections: *connections,
                        pace: Pace::Closed,
                        time: arguments.time(),
                        round,
                        lenient: false,
                    };
                    let Some(cell) = Cell::measure(machine, peer, kind) else { continue };
                    tell(arguments, &cell);
                    cells.push(cell);
                }
            }
        }
    }
    mark(&mut cells);
    cells
}

fn tell(arguments: &Arguments, cell: &Cell) {
    let Cell { scenario, proxy, connections, round, .. } = cell;
    let said = match &cell.void {
        Some(why) => format!("void: {why}"),
        None if proxy == DIRECT => format!("{:.0}/s", cell.per_second),
        None => format!("{:.0}/s, {:.0} for a CPU second", cell.per_second, cell.per_cpu_second),
    };
    let (round, rounds) = (round + 1, arguments.rounds);
    eprintln!("round {round} of {rounds}: {scenario}, {connections} connections, {proxy}: {said}");
}

/// Voids what the load has measured of itself.
fn mark(cells: &mut [Cell]) {
    let direct: Vec<Cell> = cells.iter().filter(|cell| cell.proxy == DIRECT).cloned().collect();
    for cell in cells.iter_mut().filter(|cell| cell.proxy != DIRECT && cell.void.is_none()) {
        let same = direct.iter().filter(|direct| {
            direct.scenario == cell.scenario && direct.connections == cell.connections
        });
        let direct = over(same, |direct| direct.per_second).median;
        if cell.busy < BUSY && direct < FASTER * cell.per_second {
            let busy = 100.0 * cell.busy;
            let faster = direct / cell.per_second;
            cell.void = Some(format!(
                "the load was the limit: busy {busy:.0} % of the time, {faster:.1} times as much \
                 without it"
            ));
        }
    }
}

/// One for each scenario and number of connections, in one.
pub(crate) fn table(cells: &[Cell]) -> Table {
    let mut table = Table::new(
        "Closed loop: median (least–most) of the rounds; the ratio is that of each round",
        &[
            "scenario",
            "connections",
            "proxy",
            "requests for a second of its CPU time",
            "mesher to it",
            "user µs",
            "system µs",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "busy %",
        ],
    );
    for scenario in distinct(cells, |cell| cell.scenario) {
        for connections in distinct(cells, |cell| cell.connections) {
            let here: Vec<&Cell> = cells
                .iter()
                .filter(|cell| cell.scenario == scenario && cell.connections == connections)
                .collect();
            for proxy in distinct(cells, |cell| cell.proxy.clone()) {
                let own: Vec<&Cell> =
                    here.iter().copied().filter(|cell| cell.proxy == proxy).collect();
                if !own.is_empty() {
                    table.row(row(&here, &own, &proxy));
                }
            }
        }
    }
    table
}

fn row(here: &[&Cell], own: &[&Cell], proxy: &str) -> Vec<String> {
    let head = |cell: &Cell| {
        vec![cell.scenario.to_owned(), cell.connections.to_string(), proxy.to_owned()]
    };
    let mut row = own.first().map(|cell| head(cell)).unwrap_or_default();
    let counted = own.iter().filter(|cell| cell.void.is_none()).count();
    if counted == 0 {
        let why = own.iter().find_map(|cell| cell.void.clone()).unwrap_or_default();
        row.push(format!("void: {why}"));
        row.resize(11, String::new());
        return row;
    }
    let of = |value: fn(&Cell) -> f64| over(own.iter().copied(), value);
    if proxy == DIRECT {
        row.extend(std::iter::repeat_n("–".to_owned(), 4));
    } else {
        let ratio = paired(here, OURS, proxy, |ours, it| ours.per_cpu_second / it.per_cpu_second);
        row.extend([
            of(|cell| cell.per_cpu_second).to_text(0),
            if proxy == OURS { "1".to_owned() } else { ratio.to_text(2) },
            of(|cell| cell.user_micros).to_text(1),
            of(|cell| cell.system_micros).to_text(1),
        ]);
    }
    row.extend([
        of(|cell| cell.per_second).to_text(0),
        of(|cell| cell.latencies[0]).to_text(2),
        of(|cell| cell.latencies[1]).to_text(2),
    ]);
    let busy = format!("{:.0}", 100.0 * of(|cell| cell.busy).median);
    row.push(if proxy == DIRECT { "–".to_owned() } else { busy });
    row
}
