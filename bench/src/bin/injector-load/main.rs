//! The injector under load, beside the floor: `cargo xtask bench injector` runs it.

mod allocations;
mod closed_loop;
mod long_run;
mod open_loop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use bench::allocations::Counting;
use bench::goal::Goal;
use bench::load::{Target, runtime};
use bench::pods::{review, typical};
use bench::report::{Circumstances, Table, ended, load, write};
use bench::server::{Certificates, Running};
use bench::undisturbed::Undisturbed;
use clap::Parser;
use injector::admission::{Review, answer};
use injector::{Policy, inject};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections of the closed loop.
const CONNECTIONS: [usize; 3] = [1, 16, 128];
/// Connections of the open loop.
const OPEN_CONNECTIONS: usize = 16;

/// Measures the injector under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release build of sidecar-injector
    #[arg(long)]
    injector: PathBuf,
    /// The release build of floor
    #[arg(long)]
    floor: PathBuf,
    /// Another build of sidecar-injector to measure beside it
    #[arg(long)]
    against: Option<PathBuf>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Reviews a second of the open loop, instead of half of the most
    #[arg(long)]
    rate: Option<f64>,
    /// Where the results go
    #[arg(long)]
    results: PathBuf,
}

/// What is written down.
#[derive(Debug, Serialize)]
struct Results {
    circumstances: Circumstances,
    rounds: usize,
    seconds: f64,
    tables: Vec<Table>,
    goals: Vec<Goal>,
}

fn main() -> ExitCode {
    ended(&measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    let circumstances = Circumstances::now();
    let runtime = runtime()?;
    let servers = Servers::start(arguments)?;
    eprintln!("{}", plan(arguments, servers.named.len()));

    let allocations = allocations::allocations();
    print!("{allocations}");
    let (most, mut tables) = closed_loop::throughput(&runtime, &servers, arguments)?;
    let half = arguments.rate.unwrap_or(most.rate / 2.0);
    let mut paced = open_loop::at_half(&runtime, &servers, arguments, half)?;
    print!("{}", paced.table);
    tables.push(paced.table.clone());
    match Undisturbed::with(servers.named.iter().map(|(_, server)| server.pid())) {
        Ok(_lifted) => {
            paced = open_loop::at_half(&runtime, &servers, arguments, half)?;
            paced.table.title += ", undisturbed";
            print!("{}", paced.table);
            tables.push(paced.table);
        }
        Err(error) => eprintln!("not measured undisturbed: {error:#}"),
    }
    let long = long_run::long_run(&runtime, &arguments.injector)?;
    tables.insert(0, allocations);
    tables.push(long.table);

    let goals = vec![
        Goal::at_least(
            5000.0,
            "at least 5,000 reviews for a second of CPU time",
            most.per_cpu_second,
        ),
        Goal::at_most(1.0, "p99 of at most 1 ms at half of the most reviews a second", paced.p99),
        Goal::at_most(20.0, "at most 20 MB resident, always", long.peak),
    ];
    println!();
    for goal in &goals {
        println!("{goal}");
    }
    let (rounds, seconds) = (arguments.rounds, arguments.seconds);
    let file = arguments.results.join("injector.json");
    write(&file, &Results { circumstances, rounds, seconds, tables, goals })?;
    println!("\nAll of it is in {}", file.display());
    Ok(())
}

/// The servers that are measured in turn.
struct Servers {
    named: Vec<(&'static str, Running)>,
    targets: Vec<Arc<Target>>,
}

impl Servers {
    fn start(arguments: &Arguments) -> Result<Self> {
        let body = review(&typical());
        let review = Review::read(&body)?;
        let policy = Policy::builtin();
        let outcome = inject(&review.object, &review.request, &policy);
        let constant = answer(review.version, &review.request.uid, &outcome).body;
        let mut named = vec![
            ("injector", Running::injector(&arguments.injector, Certificates::Lasting)?),
            ("floor", Running::floor(&arguments.floor, &constant)?),
        ];
        if let Some(other) = &arguments.against {
            named.push(("other build", Running::injector(other, Certificates::Lasting)?));
        }
        let body = body.into();
        let targets = named.iter().map(|(_, server)| server.target(&body)).collect();
        Ok(Self { named, targets })
    }
}

fn plan(arguments: &Arguments, servers: usize) -> String {
    let count = |number: usize| u32::try_from(number).map_or(0.0, f64::from);
    let measured = count(arguments.rounds * servers * (CONNECTIONS.len() + 1)) * arguments.seconds;
    format!("about {:.0} minutes; load now {}", (measured + 60.0) / 60.0 + 0.5, load())
}
