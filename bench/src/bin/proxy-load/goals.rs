//! What mesher is to reach, and whether it did.

use bench::goal::Goal;

use super::cells::{Cell, DIRECT, over, paired};
use super::counts::{Counted, SYSTEM_CALLS};
use super::two_workers::Resident;
use super::{BOUNDED, GOVERNED, OURS, limited, open_loop, overload};

/// All of them.
pub(crate) fn all(cells: &[Cell], counted: &[Counted], memory: &[Resident]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for connections in [16, 128] {
        let ratio = |scenario: &str, peer: &str| {
            let here = closed(cells, scenario, connections);
            paired(&here, OURS, peer, |ours, it| ours.per_cpu_second / it.per_cpu_second).median
        };
        let wanted = |least: &str, scenario: &str, peer: &str| {
            format!(
                "{scenario} on {connections} connections: at least {least} times {peer}'s requests \
                 for a second of CPU time"
            )
        };
        for (least, text, scenario, peer) in [
            (0.95, "0.95", "get-0", "nginx"),
            (1.0, "1", "get-0", "haproxy"),
            (4.0, "4", "get-0", "Envoy"),
            (3.0, "3", "grpc-unary", "Envoy"),
        ] {
            goals.push(Goal::at_least(least, wanted(text, scenario, peer), ratio(scenario, peer)));
        }
        let user = |proxy: &str| {
            let here = closed(cells, "get-0", connections);
            over(here.into_iter().filter(|cell| cell.proxy == proxy), |c| c.user_micros).median
        };
        goals.push(Goal::at_most(
            2.0,
            format!(
                "get-0 on {connections} connections: at most 2 µs in user space above the floor"
            ),
            user(OURS) - user("floor"),
        ));
    }
    for connections in [16, 128] {
        let here = closed(cells, "get-0", connections);
        let cost = |governed: &Cell, ours: &Cell| governed.per_cpu_second / ours.per_cpu_second;
        goals.push(Goal::at_least(
            0.9,
            format!(
                "get-0 on {connections} connections: with ten rules, breaker, limits and retries \
                 at least 0.9 of the requests for a second of CPU time without"
            ),
            paired(&here, GOVERNED, OURS, cost).median,
        ));
    }
    let flooded = |proxy: &str| -> Vec<&Cell> {
        let here = |cell: &&Cell| {
            cell.due > 0.0 && cell.connections == overload::CONNECTIONS && cell.proxy == proxy
        };
        cells.iter().filter(here).collect()
    };
    for proxy in [OURS, BOUNDED] {
        let own = flooded(proxy);
        goals.push(Goal::at_least(
            0.9,
            format!("{proxy} at twice its capacity: at least 0.9 of what it does at most"),
            overload::goodput(cells, &own, proxy).median,
        ));
        goals.push(Goal::at_most(
            250.0,
            format!("{proxy} at twice its capacity: a p99 of at most 250 ms of what it answers"),
            over(own, |cell| cell.latencies[1]).median,
        ));
    }
    goals.push(Goal::at_most(
        0.02,
        "a rate limit over ten seconds: at most 0.02 of it too many or too few".to_owned(),
        limited::error(cells),
    ));
    let paced: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.due > 0.0 && cell.scenario == "get-0" && cell.proxy != super::LIMITED)
        .filter(|cell| cell.connections == open_loop::CONNECTIONS)
        .collect();
    let added = |proxy: &str| {
        paired(&paced, proxy, DIRECT, |it, direct| it.latencies[1] - direct.latencies[1]).median
    };
    let nginx = added("nginx");
    goals.push(Goal::at_most(
        nginx,
        format!("get-0 at a fixed rate: an added p99 of at most nginx's {nginx:.3} ms"),
        if nginx.is_nan() { f64::NAN } else { added(OURS) },
    ));
    let own = memory.iter().find(|one| one.proxy == OURS);
    let (idle, active) = own.map_or((f64::NAN, f64::NAN), |one| (one.idle, one.active));
    goals.push(Goal::at_most(12.0, "at most 12 MB resident when idle", idle));
    goals.push(Goal::at_most(25.0, "at most 25 MB resident on 1,000 active connections", active));
    let calls = counted
        .iter()
        .find(|one| one.proxy == OURS && one.scenario == "get-0" && one.what == SYSTEM_CALLS);
    let calls = calls.and_then(|one| one.each.as_ref().ok().copied()).unwrap_or(f64::NAN);
    goals.push(Goal::at_most(4.4, "get-0: at most 4.4 system calls for a request", calls));
    goals
}

fn closed<'a>(cells: &'a [Cell], scenario: &str, connections: usize) -> Vec<&'a Cell> {
    let here = |cell: &&Cell| {
        cell.due == 0.0 && cell.scenario == scenario && cell.connections == connections
    };
    cells.iter().filter(here).collect()
}
