//! System calls and instructions of a request.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::proxy::{
    Call, Launch, Load, Machine, Pace, Peer, Registry, Scenario, Until, instructions as read,
};
use bench::report::Table;
use serde::Serialize;
use testbed::Guard;

use super::cells::distinct_of;
use super::{Arguments, OURS};

/// Requests whose system calls are counted; a timer's calls are lost among them.
const REQUESTS: usize = 20_000;
/// Requests of which valgrind is shown so many, and three times as many.
const FEW: usize = 2_000;
/// Under way at once, as in the closed loop.
const CONNECTIONS: usize = 16;

/// What a request of a scenario takes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Counted {
    pub(crate) scenario: &'static str,
    pub(crate) proxy: String,
    pub(crate) what: &'static str,
    /// `Err`: why it is not known.
    pub(crate) each: Result<f64, String>,
}

pub(crate) const SYSTEM_CALLS: &str = "system calls";
pub(crate) const INSTRUCTIONS: &str = "instructions";

/// Of every proxy, while it is as busy as it can be.
pub(crate) fn system_calls(
    arguments: &Arguments,
    guard: &Guard,
    machine: &mut Machine,
    peers: &[Peer],
) -> Vec<Counted> {
    let mut counted = Vec::new();
    for scenario in arguments.scenarios().into_iter().filter(|scenario| !scenario.churn) {
        for peer in peers.iter().filter(|peer| peer.name != super::AGAIN) {
            if peer.address(scenario.spoken).is_none() {
                continue;
            }
            eprintln!("system calls: {}, {}", scenario.name, peer.name);
            let pids = peer.processes();
            let all = bench::proxy::system_calls(guard.folder(), &pids, || {
                requests(machine, peer, scenario, REQUESTS)
            });
            let each = all.map(|all| per(all, REQUESTS)).map_err(|error| format!("{error:#}"));
            counted.push(of(scenario, &peer.name, SYSTEM_CALLS, each));
        }
    }
    counted
}

/// In user space, of ours and of the floor: a comparison of programs that ask the same of the
/// system.
pub(crate) fn instructions(
    arguments: &Arguments,
    guard: &Guard,
    machine: &mut Machine,
    registry: &Registry,
) -> Vec<Counted> {
    let mut counted = Vec::new();
    let programs = arguments.programs();
    let own = [OURS, "floor", "other build"];
    for (name, program) in programs.iter().filter(|(name, _)| own.contains(name)) {
        for scenario in arguments.scenarios().into_iter().filter(|scenario| !scenario.churn) {
            let mut taken = |count: usize| -> Result<Option<u64>> {
                let file = guard.folder().join(format!("callgrind.{count}"));
                let launch = Launch { guard, machine, registry, workers: 1 };
                let peer = match launch.start_under(name, program, Some(&file))? {
                    Ok(peer) => peer,
                    Err(missing) => anyhow::bail!(missing.0),
                };
                if peer.address(scenario.spoken).is_none() {
                    return Ok(None);
                }
                super::wait_for(machine, &peer, scenario)?;
                requests(machine, &peer, scenario, count)?;
                peer.end()?;
                read(&file).map(Some)
            };
            eprintln!("instructions: {}, {name}", scenario.name);
            let each = match (taken(FEW), taken(3 * FEW)) {
                (Ok(Some(few)), Ok(Some(many))) => Ok(per(many.saturating_sub(few), 2 * FEW)),
                (Ok(_), Ok(_)) => continue,
                (Err(error), _) | (_, Err(error)) => Err(format!("{error:#}")),
            };
            counted.push(of(scenario, name, INSTRUCTIONS, each));
        }
    }
    counted
}

fn of(scenario: Scenario, proxy: &str, what: &'static str, each: Result<f64, String>) -> Counted {
    if let Err(why) = &each {
        eprintln!("not known: {why}");
    }
    Counted { scenario: scenario.name, proxy: proxy.to_owned(), what, each }
}

/// Sends so many requests, of which none may fail. Who does not speak that has answered all.
pub(crate) fn requests(
    machine: &mut Machine,
    peer: &Peer,
    scenario: Scenario,
    count: usize,
) -> Result<()> {
    let Some(target) = peer.address(scenario.spoken) else { return Ok(()) };
    let run = machine.run(&Load {
        target,
        call: &Rc::new(Call::of(scenario)),
        connections: CONNECTIONS.min(count),
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        until: Until::Requests(count),
        watched: &[],
    })?;
    ensure!(run.well == count, "only {} of {count} requests were answered well", run.well);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "millions")]
fn per(all: u64, requests: usize) -> f64 {
    all as f64 / requests as f64
}

/// A row for each proxy and scenario.
pub(crate) fn table(counted: &[Counted]) -> Table {
    let mut table = Table::new(
        format!(
            "For each request: system calls, {CONNECTIONS} connections; instructions in user space"
        ),
        &["scenario", "proxy", SYSTEM_CALLS, INSTRUCTIONS],
    );
    for scenario in distinct_of(counted, |one| one.scenario) {
        for proxy in distinct_of(counted, |one| one.proxy.clone()) {
            let own = || counted.iter().filter(|c| c.scenario == scenario && c.proxy == proxy);
            if own().next().is_none() {
                continue;
            }
            let cell = |what: &str, decimals: usize| {
                let found = own().find(|one| one.what == what);
                match found.map(|one| &one.each) {
                    None => "–".to_owned(),
                    Some(Ok(each)) => format!("{each:.decimals$}"),
                    Some(Err(_)) => "not known".to_owned(),
                }
            };
            let cells = [cell(SYSTEM_CALLS, 2), cell(INSTRUCTIONS, 0)];
            table.row([scenario.to_owned(), proxy].into_iter().chain(cells));
        }
    }
    print!("{table}");
    table
}
