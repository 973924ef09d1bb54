//! mesher beside other proxies under the same load: `cargo xtask bench proxy` runs it.

mod cells;
mod closed_loop;
mod counts;
mod goals;
mod limited;
mod open_loop;
mod overload;
mod two_workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::goal::Goal;
use bench::processors::pin;
use bench::proxy::{Launch, Machine, Peer, Program, Registry, SCENARIOS, Scenario, named};
use bench::report::{Circumstances, Table, ended, load, write};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use testbed::Guard;

use self::cells::Cell;

/// mesher, which everything is held against.
const OURS: &str = "mesher";
/// The same program once more: how far two of the same lie apart is what is not to be told.
const AGAIN: &str = "mesher again";

/// The same program with rules, breaker, limits and retries: what governance costs.
const GOVERNED: &str = "mesher governed";
/// The same program with a bound on what is under way; it has a part in overload only.
const BOUNDED: &str = "mesher bounded";
/// The same program with a rate limit, which is all that is measured of it.
const LIMITED: &str = "mesher limited";

/// For a proxy to learn of the backends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures mesher beside other proxies.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release build of mesher
    #[arg(long)]
    mesher: PathBuf,
    /// The release build of service-registry
    #[arg(long)]
    registry: PathBuf,
    /// The release build of proxy-floor
    #[arg(long)]
    floor: PathBuf,
    /// Another build of mesher to measure beside it
    #[arg(long)]
    against: Option<PathBuf>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Also what takes hours
    #[arg(long)]
    full: bool,
    /// Only these scenarios
    #[arg(long, value_parser = named)]
    only: Vec<Scenario>,
    /// Where the results go
    #[arg(long)]
    results: PathBuf,
}

impl Arguments {
    fn scenarios(&self) -> Vec<Scenario> {
        if self.only.is_empty() {
            return SCENARIOS.into_iter().filter(|s| s.core || self.full).collect();
        }
        self.only.clone()
    }

    /// Connections of the closed loop.
    fn connections(&self) -> &'static [usize] {
        if self.full { &[1, 16, 128, 1000] } else { &[16, 128] }
    }

    /// Fixed rates, as shares of what the slowest proxy does at most.
    fn rates(&self) -> &'static [f64] {
        if self.full { &[0.25, 0.5, 0.75] } else { &[0.5] }
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn programs(&self) -> Vec<(&'static str, Program)> {
        let mesher = || Program::Mesher(self.mesher.clone());
        let mut programs = vec![
            (OURS, mesher()),
            (AGAIN, mesher()),
            (GOVERNED, Program::Governed(self.mesher.clone())),
            ("floor", Program::Floor(self.floor.clone())),
            ("nginx", Program::Nginx),
            ("haproxy", Program::Haproxy),
            ("Envoy", Program::Envoy),
        ];
        if self.full {
            programs.push((BOUNDED, Program::Bounded(self.mesher.clone())));
        }
        let other = self.against.clone();
        programs.extend(other.map(|path| ("other build", Program::Mesher(path))));
        programs
    }
}

/// What is written down.
#[derive(Debug, Serialize)]
struct Results {
    circumstances: Circumstances,
    rounds: usize,
    seconds: f64,
    peers: Vec<Described>,
    cells: Vec<Cell>,
    tables: Vec<Table>,
    goals: Vec<Goal>,
}

/// Who was measured, and how it was told what to do.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    version: String,
    configuration: String,
}

fn main() -> ExitCode {
    ended(&measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    let circumstances = Circumstances::now();
    let processors = circumstances.processors;
    ensure!(processors >= 2, "a proxy and its load need a processor each, and there is only one");
    raise_file_limit()?;
    pin(&[1])?;
    let guard = Guard::new()?;
    let mut machine = Machine::new()?;
    let registry = Registry::start(&guard, &arguments.registry, &machine)?;
    let launch = Launch { guard: &guard, machine: &machine, registry: &registry, workers: 1 };
    let mut peers = start(arguments, &launch)?;
    let limited = Program::Limited(arguments.mesher.clone());
    let limited = if arguments.full { launch.start(LIMITED, &limited)?.ok() } else { None };
    settle(arguments, &mut machine, &mut peers);
    let described = describe(&peers);
    for peer in &described {
        eprintln!("{:12}  {}", peer.name, peer.version);
    }
    eprintln!("{}", plan(arguments, peers.len()));

    let mut cells = closed_loop::run(arguments, &mut machine, &peers);
    let table = closed_loop::table(&cells);
    print!("{table}");
    let mut tables = vec![table];
    let (paced, table) = open_loop::run(arguments, &mut machine, &peers, &cells);
    cells.extend(paced);
    tables.push(table);
    if arguments.full {
        let (overloaded, table) = overload::run(arguments, &mut machine, &peers, &cells)?;
        cells.extend(overloaded);
        tables.push(table);
    }
    if let Some(peer) = limited {
        let (let_through, table) = limited::run(arguments, &mut machine, &peer)?;
        cells.extend(let_through);
        tables.push(table);
    }
    let mut counted = counts::system_calls(arguments, &guard, &mut machine, &peers);
    // They would only take memory, and time of the processors.
    drop(peers);
    counted.extend(counts::instructions(arguments, &guard, &mut machine, &registry));
    tables.push(counts::table(&counted));
    let (memory, table) = two_workers::run(arguments, &guard, &mut machine, &registry)?;
    tables.push(table);

    let goals = goals::all(&cells, &counted, &memory);
    println!();
    for goal in &goals {
        println!("{goal}");
    }
    let (rounds, seconds) = (arguments.rounds, arguments.seconds);
    let file = arguments.results.join("proxy.json");
    let peers = described;
    write(&file, &Results { circumstances, rounds, seconds, peers, cells, tables, goals })?;
    println!("\nAll of it is in {}", file.display());
    Ok(())
}

/// Starts everything that is to be had; says of the rest why not.
fn start(arguments: &Arguments, launch: &Launch<'_>) -> Result<Vec<Peer>> {
    // One worker has a processor for itself; several have all of them, as the load has.
    if launch.workers == 1 {
        pin(&[0])?;
    }
    let mut peers = Vec::new();
    for (name, program) in arguments.programs() {
        let alone = [AGAIN, GOVERNED, BOUNDED].contains(&name);
        if launch.workers > 1 && (alone || matches!(program, Program::Floor(_))) {
            continue;
        }
        match launch.start(name, &program).with_context(|| format!("starting {name}"))? {
            Ok(peer) => peers.push(peer),
            Err(missing) => eprintln!("left out: {}", missing.0),
        }
    }
    if launch.workers == 1 {
        pin(&[1])?;
    }
    Ok(peers)
}

/// Waits until everybody answers; who does not answer is left out of it.
fn settle(arguments: &Arguments, machine: &mut Machine, peers: &mut [Peer]) {
    for scenario in arguments.scenarios() {
        for peer in &mut *peers {
            if let Err(error) = wait_for(machine, peer, scenario) {
                eprintln!("left out: {}, {}: {error:#}", scenario.name, peer.name);
                peer.speaks_no(scenario.spoken);
            }
        }
    }
}

/// Waits until a proxy answers.
fn wait_for(machine: &mut Machine, peer: &Peer, scenario: Scenario) -> Result<()> {
    let began = Instant::now();
    loop {
        match counts::requests(machine, peer, scenario, 1) {
            Err(_) if began.elapsed() < PATIENCE => thread::sleep(PATIENCE / 100),
            settled => return settled,
        }
    }
}

fn describe(peers: &[Peer]) -> Vec<Described> {
    let describe = |peer: &Peer| Described {
        name: peer.name.clone(),
        version: peer.version.clone(),
        configuration: peer.configuration.clone(),
    };
    peers.iter().map(describe).collect()
}

/// Every connection through a proxy takes four descriptors, two of them ours.
fn raise_file_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn plan(arguments: &Arguments, peers: usize) -> String {
    let count = |number: usize| u32::try_from(number).map_or(0.0, f64::from);
    let kinds = arguments.connections().len() + arguments.rates().len();
    let cells = arguments.rounds * (peers + 1) * kinds * arguments.scenarios().len();
    let seconds = count(cells) * (arguments.seconds + cells::WARM_UP.as_secs_f64()) + 60.0;
    format!("about {:.0} minutes; load now {}", seconds / 60.0 + 0.5, load())
}
