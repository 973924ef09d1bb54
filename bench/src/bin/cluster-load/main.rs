//! The injector in a cluster that creates thousands of pods: `cargo xtask bench scale` runs it.

mod round;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bench::goal::Goal;
use bench::report::{Circumstances, Spread, Table, load, write};
use clap::Parser;
use serde::Serialize;

use self::round::Round;

/// Measures the injector in a cluster.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release build of sidecar-injector
    #[arg(long)]
    injector: PathBuf,
    /// How often everything is measured, each time in a new cluster
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Pods that ask for a sidecar; before them, as many that do not
    #[arg(long, default_value_t = 5000)]
    pods: usize,
    /// Requests for a pod that are under way at a time
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Replicas of the injector
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Nodes that kwok plays
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Have the replica that leads watch all pods, to heal those without a sidecar
    #[arg(long)]
    heal: bool,
    /// Run the injector under the kernel's real-time policy, and let kwok rest while pods that ask are
    /// created
    #[arg(long)]
    undisturbed: bool,
    /// Where the results go
    #[arg(long)]
    results: PathBuf,
}

/// What is written down.
#[derive(Debug, Serialize)]
struct Results {
    circumstances: Circumstances,
    pods: usize,
    at_once: usize,
    replicas: usize,
    heal: bool,
    undisturbed: bool,
    rounds: Vec<Round>,
    table: Table,
    goals: Vec<Goal>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let circumstances = Circumstances::now();
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}; load now {}", arguments.rounds, load());
        rounds.push(round::measure(arguments)?);
    }
    let table = table(arguments, &rounds);
    print!("{table}");
    let goals = goals(&rounds);
    println!();
    for goal in &goals {
        println!("{goal}");
    }
    let Arguments { pods, at_once, replicas, heal, undisturbed, .. } = *arguments;
    let file = arguments.results.join("scale.json");
    let results =
        Results { circumstances, pods, at_once, replicas, heal, undisturbed, rounds, table, goals };
    write(&file, &results)?;
    println!("\nAll of it is in {}", file.display());
    Ok(())
}

fn table(arguments: &Arguments, rounds: &[Round]) -> Table {
    let Arguments { pods, at_once, replicas, .. } = arguments;
    let mut table = Table::new(
        format!(
            "{pods} pods that ask, {at_once} requests at once, {replicas} replicas: median \
             (least–most) of the rounds"
        ),
        &["what", "value"],
    );
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
    row("pods a second", over(&|round| round.rate).to_text(0));
    row("pods a second, of those that do not ask", over(&|round| round.rate_unasked).to_text(0));
    row("p50 of creating one, ms", over(&|round| round.creation_ms[0]).to_text(1));
    row("p99 of creating one, ms", over(&|round| round.creation_ms[1]).to_text(1));
    row("pods without a sidecar", over(&|round| round.missed).to_text(0));
    row("API server: % of calls within 5 ms", over(&|round| 100.0 * round.within_5_ms).to_text(2));
    row(
        "API server: % of calls within 25 ms",
        over(&|round| 100.0 * round.within_25_ms).to_text(2),
    );
    row("injector: % of reviews within 1 ms", over(&|round| 100.0 * round.within_1_ms).to_text(2));
    row("injector: bound of p50, ms", over(&|round| round.review_ms[0]).to_text(2));
    row("injector: bound of p99, ms", over(&|round| round.review_ms[1]).to_text(2));
    row("connections that the API server made", over(&|round| round.connections).to_text(0));
    row("CPU ms for 1,000 pods: injector, user", over(&|round| round.injector_cpu[0]).to_text(0));
    row("CPU ms for 1,000 pods: injector, system", over(&|round| round.injector_cpu[1]).to_text(0));
    for (at, (name, _)) in
        rounds.first().into_iter().flat_map(|round| &round.others_cpu).enumerate()
    {
        let of = over(&|round| round.others_cpu[at].1);
        row(&format!("CPU ms for 1,000 pods: {name}"), of.to_text(0));
    }
    row("resident MB of a replica before", over(&|round| round.memory_before).to_text(1));
    row("resident MB of a replica at most", over(&|round| round.memory_peak).to_text(1));
    table
}

fn goals(rounds: &[Round]) -> Vec<Goal> {
    let worst = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).fold(0.0, f64::max);
    let median = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value)).median;
    let within_5_ms = median(&|round| 100.0 * round.within_5_ms);
    let within_1_ms = median(&|round| 100.0 * round.within_1_ms);
    let missed = worst(&|round| round.missed);
    let memory = worst(&|round| round.memory_peak);
    vec![
        Goal::at_most(0.0, "pods without their sidecar, in any round", missed),
        Goal::at_least(99.0, "99 % of the API server's calls within 5 ms", within_5_ms),
        Goal::at_least(99.0, "99 % of the injector's reviews within 1 ms", within_1_ms),
        Goal::at_most(20.0, "20 MB resident, each replica in every round", memory),
    ]
}
