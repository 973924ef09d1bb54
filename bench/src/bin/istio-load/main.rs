//! mesher and Envoy as proxies of one istiod that knows thousands of services: `cargo xtask bench
//! istio` runs it.

mod echo;
mod load;
mod proxies;
mod round;
mod services;

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use bench::goal::Goal;
use bench::processors::{confine, pin};
use bench::report::{Circumstances, Spread, Table, ended, load, write};
use bench::undisturbed::Undisturbed;
use clap::Parser;
use serde::Serialize;
use testbed::{Cluster, ClusterOptions, Guard, Istiod, IstiodOptions};

use self::proxies::Program;
use self::round::{Found, Place, Pushes};

/// The processor of the proxy that is measured, and that of istiod, the load and the service.
const OWN: [usize; 1] = [0];
const OTHERS: [usize; 1] = [1];

/// Measures mesher beside Envoy.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release build of mesher
    #[arg(long)]
    mesher: PathBuf,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many services there are
    #[arg(long, default_value_t = 5_000)]
    services: usize,
    /// How many endpoints each of them has
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    /// Full pushes of each measurement
    #[arg(long, default_value_t = 4)]
    pushes: u32,
    /// Where the results go
    #[arg(long)]
    results: PathBuf,
}

/// Everything, for the file.
#[derive(Debug, Serialize)]
struct Results {
    circumstances: Circumstances,
    services: usize,
    endpoints: usize,
    pushes: u32,
    rounds: Vec<Found>,
    table: Table,
    goals: Vec<Goal>,
}

fn main() -> ExitCode {
    ended(&measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    let Arguments { rounds, services, endpoints, pushes, .. } = *arguments;
    let guard = Guard::new()?;
    let cluster = Cluster::start(ClusterOptions::default())?;
    cluster.run(&["create", "namespace", "shop"])?;
    let options = IstiodOptions { for_any_envoy: true, ..IstiodOptions::default() };
    let istiod = Istiod::start(&cluster, options)?;
    let began = Instant::now();
    let echo = echo::start()?;
    services::apply(&cluster, services, endpoints, echo)?;
    eprintln!("{services} services applied in {:.0?}", began.elapsed());
    let others = cluster.processes().into_iter().map(|(_, pid)| pid);
    for pid in others.chain([istiod.server().pid(), std::process::id()]) {
        confine(pid, &OTHERS)?;
    }
    pin(&OTHERS)?;
    let circumstances = Circumstances::now();
    let mesher = Program::Mesher(arguments.mesher.clone());
    let place =
        Place { guard: &guard, istiod: &istiod, echo, services, pushes, open: Cell::new(true) };
    place.warm_up(&mesher)?;
    // istiod works on the processor of the load while it pushes, and would hold it up.
    let _undisturbed = Undisturbed::with([])
        .inspect_err(|error| eprintln!("istiod may hold the load up: {error:#}"));
    let mut found = Vec::new();
    let mut programs = [mesher, Program::Envoy];
    for number in 1..=rounds {
        eprintln!("round {number} of {rounds}; load now {}", load());
        for program in &programs {
            let one = place.measure(program)?;
            eprintln!("{one:?}");
            found.push(one);
        }
        programs.reverse();
    }
    let table = table(arguments, &found);
    print!("{table}");
    let goals = goals(&found);
    println!();
    for goal in &goals {
        println!("{goal}");
    }
    let file = arguments.results.join("istio.json");
    let rounds = found;
    write(&file, &Results { circumstances, services, endpoints, pushes, rounds, table, goals })?;
    println!("\nAll of it is in {}", file.display());
    Ok(())
}

/// One of these of each round.
fn over(found: &[Found], proxy: &str, value: &dyn Fn(&Found) -> f64) -> Spread {
    Spread::of(found.iter().filter(|one| one.proxy == proxy).map(value))
}

fn table(arguments: &Arguments, found: &[Found]) -> Table {
    let Arguments { services, endpoints, rounds, .. } = arguments;
    let mut table = Table::new(
        format!(
            "{services} services of {endpoints} endpoints: median (least–most) of {rounds} rounds"
        ),
        &["what", "mesher, one service called", "mesher, all called", "Envoy"],
    );
    let mut row = |what: &str, cells: [String; 3]| {
        table.row(std::iter::once(what.to_owned()).chain(cells));
    };
    let of = |proxy, value: &dyn Fn(&Found) -> f64, decimals| {
        over(found, proxy, value).to_text(decimals)
    };
    let start = |value: &dyn Fn(&Found) -> f64| {
        [of("mesher", value, 2), String::new(), of("Envoy", value, 2)]
    };
    row("ready after, s", start(&|one| one.ready));
    row("processor time until ready, s", start(&|one| one.ready_cpu));
    row(
        "resident when ready, MiB",
        [of("mesher", &|one| one.resident, 1), String::new(), of("Envoy", &|one| one.resident, 1)],
    );
    let pushed = |value: &dyn Fn(&Pushes) -> f64, decimals| {
        [
            of("mesher", &|one| value(&one.called), decimals),
            of("mesher", &|one| one.all.as_ref().map_or(f64::NAN, value), decimals),
            of("Envoy", &|one| value(&one.called), decimals),
        ]
    };
    row("resident before pushes, MiB", pushed(&|pushes| pushes.resident[0], 1));
    row("resident after them, MiB", pushed(&|pushes| pushes.resident[1], 1));
    let peak: &dyn Fn(&Found) -> f64 = &|one| one.peak;
    row("most ever resident, MiB", [String::new(), of("mesher", peak, 1), of("Envoy", peak, 1)]);
    row("a push in force after, s", pushed(&|pushes| pushes.took, 2));
    row("processor time for a push, s", pushed(&|pushes| pushes.cpu, 2));
    for (at, name) in ["p50", "p99", "longest"].into_iter().enumerate() {
        row(&format!("{name} before, ms"), pushed(&|pushes| pushes.before[at], 2));
        row(&format!("{name} during pushes, ms"), pushed(&|pushes| pushes.during[at], 2));
        row(&format!("{name} between and after, ms"), pushed(&|pushes| pushes.after[at], 2));
    }
    table
}

fn goals(found: &[Found]) -> Vec<Goal> {
    let most = |value: &dyn Fn(&Found) -> f64| over(found, "mesher", value).max;
    let called = |one: &Found| one.called.resident[1].max(one.resident);
    let all =
        |one: &Found| one.all.as_ref().map_or(f64::NAN, |all| all.resident[1].max(all.resident[0]));
    let envoy = over(found, "Envoy", &called).min;
    let ready = over(found, "Envoy", &|one| one.ready).median;
    let blip = over(found, "Envoy", &|one| one.called.during[1]).median;
    let median = |value: &dyn Fn(&Found) -> f64| over(found, "mesher", value).median;
    vec![
        Goal::at_most(80.0, "80 MiB resident, one service called, in any round", most(&called)),
        Goal::at_most(80.0, "80 MiB resident, all services called, in any round", most(&all)),
        Goal::at_most(
            1.0 / 3.0,
            "a third of Envoy's memory, one service called",
            most(&called) / envoy,
        ),
        Goal::at_most(1.0 / 3.0, "a third of Envoy's memory, all called", most(&all) / envoy),
        Goal::at_most(1.0, "ready as soon as Envoy", median(&|one| one.ready) / ready),
        Goal::at_most(
            1.0,
            "Envoy's p99 during full pushes",
            median(&|one| one.called.during[1]) / blip,
        ),
    ]
}
