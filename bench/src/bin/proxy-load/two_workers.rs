//! Proxies as they run otherwise: two workers, wherever the system puts them. The load is then on
//! the same processors, so what is of interest here is memory.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use bench::process::{Memory, proportional};
use bench::processors::pin;
use bench::proxy::{Call, Launch, Load, Machine, Pace, Peer, Registry, Until, named};
use bench::report::{Table, megabytes};
use serde::Serialize;
use testbed::Guard;

use super::{Arguments, start};

/// All of them have a request under way.
const CONNECTIONS: usize = 1000;
const SCENARIO: &str = "get-0";

/// Memory of one proxy, in megabytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Resident {
    pub(crate) proxy: String,
    pub(crate) idle: f64,
    pub(crate) active: f64,
    per_connection_kb: f64,
    per_second: f64,
    cpu_micros: f64,
}

/// Starts everything anew.
pub(crate) fn run(
    arguments: &Arguments,
    guard: &Guard,
    machine: &mut Machine,
    registry: &Registry,
) -> Result<(Vec<Resident>, Table)> {
    let all: Vec<usize> = (0..std::thread::available_parallelism().map_or(2, Into::into)).collect();
    pin(&[0, 1].into_iter().chain(all).collect::<Vec<_>>())?;
    let mut peers = start(arguments, &Launch { guard, machine, registry, workers: 2 })?;
    let scenario = named(SCENARIO).map_err(anyhow::Error::msg)?;
    let call = Rc::new(Call::of(scenario));
    let mut resident = Vec::new();
    for peer in &mut peers {
        super::wait_for(machine, peer, scenario)?;
        let Some(target) = peer.address(scenario.spoken) else { continue };
        let idle = memory(peer)?;
        let watched = peer.processes();
        let run = machine.run(&Load {
            target,
            call: &call,
            connections: CONNECTIONS,
            pace: Pace::Closed,
            warm_up: Duration::from_millis(500),
            until: Until::Time(arguments.time()),
            watched: &watched,
        })?;
        // Connections are gone by now; what they took is still there.
        let active = memory(peer)?.max(peak(peer)?);
        let well = u32::try_from(run.well).map_or(f64::INFINITY, f64::from);
        let resident_now = Resident {
            proxy: peer.name.clone(),
            idle: megabytes(idle),
            active: megabytes(active),
            per_connection_kb: megabytes(active.saturating_sub(idle)) * 1e3
                / f64::from(u32::try_from(CONNECTIONS)?),
            per_second: well / run.elapsed.as_secs_f64(),
            cpu_micros: run.cpu.total().as_secs_f64() * 1e6 / well,
        };
        eprintln!("two workers: {}: {:.1} MB idle", peer.name, resident_now.idle);
        resident.push(resident_now);
    }
    let mut table = Table::new(
        format!("Two workers on all processors, {CONNECTIONS} connections, {SCENARIO}"),
        &["proxy", "MB idle", "MB active", "kB for a connection", "requests/s", "CPU µs a request"],
    );
    for one in &resident {
        table.row([
            one.proxy.clone(),
            format!("{:.1}", one.idle),
            format!("{:.1}", one.active),
            format!("{:.1}", one.per_connection_kb),
            format!("{:.0}", one.per_second),
            format!("{:.1}", one.cpu_micros),
        ]);
    }
    print!("{table}");
    Ok((resident, table))
}

/// What is in RAM: `VmRSS` of one process; of several, which share pages, what each has its part of.
fn memory(peer: &Peer) -> Result<u64> {
    match peer.processes()[..] {
        [pid] => Ok(Memory::of(pid)?.resident),
        ref many => proportional(many),
    }
}

/// The most there was, where one process tells it.
fn peak(peer: &Peer) -> Result<u64> {
    match peer.processes()[..] {
        [pid] => Ok(Memory::of(pid)?.peak),
        _ => Ok(0),
    }
}
