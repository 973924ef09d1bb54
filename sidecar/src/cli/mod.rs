//! The command line: one file per subcommand.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

use crate::configuration::{Inputs, KeyFlag, NamedFiles, Places, Problem, split};

mod ask;
mod check;
mod config;
mod drain;
mod logging;
mod run;
mod status;
mod xds;

/// The exit code for a configuration with errors: the command itself worked.
const FAULTY: u8 = 3;

/// The proxy beside each application: finds services through service-center or Istio.
///
/// Without any file it serves the consumer side on 127.0.0.1:30101 (HTTP) and 127.0.0.1:40101
/// (gRPC), and finds services in the service-center at 127.0.0.1:30100.
#[derive(Debug, Parser)]
#[command(name = "mesher", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    /// mesher.yaml; the other files are looked for beside it first
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Beside one application, or one for all of a host (consumer side only)
    #[arg(long, value_name = "MODE", global = true, ignore_case = true,
        value_parser = PossibleValuesParser::new(["sidecar", "per-host"]))]
    mode: Option<String>,
    /// What the application serves, as in rest:8080,grpc-admin:9000 [env: SERVICE_PORTS]
    #[arg(long, value_name = "PORTS", global = true)]
    service_ports: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "\
Any key of the configuration can be a flag too: --servicecomb.registry.address=http://host:30100

Who wins: flags, environment, files, MESHER_DEFAULT_* variables, the pod's labels, what is built in.
Each file is taken from the first folder that has it: that of --config, $CHASSIS_CONF_DIR,
$CHASSIS_HOME/conf, /etc/mesher/conf, and /tmp where a ConfigMap is mounted there.
`mesher config dump` shows every value and where it comes from.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry traffic (the default)
    Run,
    /// The configuration: show, check, describe
    Config(config::Args),
    /// The same as `config check`
    Check(check::Args),
    /// Show how the mesher of this pod is: services, discovery, connections
    Status(status::Args),
    /// Ask the mesher of this pod to stop taking requests, and wait until it has
    Drain(drain::Args),
    /// Ask istiod what it would send to the mesher of this pod
    Xds(xds::Args),
    /// Print the version
    Version,
}

/// Parses `arguments` (with the program's name) and does what they say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let (own, mut keys) = split(arguments);
    let cli = match Cli::try_parse_from(own) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; both go where they belong.
            error.print().context("cannot write")?;
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)));
        }
    };
    let named = [
        ("mode", "mesher.mode", cli.mode),
        ("service-ports", "mesher.servicePorts", cli.service_ports),
    ];
    for (flag, key, value) in named {
        if value.is_some() {
            keys.push(KeyFlag { key: key.into(), written: format!("--{flag}"), value });
        }
    }
    let inputs = |named_files| Inputs {
        flags: keys.clone(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        places: Places { config: cli.config.clone(), ..Places::default() },
        named_files,
    };
    match &cli.command {
        None | Some(Command::Run) => run::run(&inputs(NamedFiles::MustExist)),
        Some(Command::Config(args)) => config::run(args, &inputs(NamedFiles::MayBeElsewhere)),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Status(args)) => status::run(args, &inputs(NamedFiles::MayBeElsewhere)),
        Some(Command::Drain(args)) => drain::run(args, &inputs(NamedFiles::MayBeElsewhere)),
        Some(Command::Xds(args)) => xds::run(args, &inputs(NamedFiles::MayBeElsewhere)),
        Some(Command::Version) => print(concat!("mesher ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// Writes problems to standard error, one a line.
fn report<'a>(problems: impl IntoIterator<Item = &'a Problem>) {
    for problem in problems {
        eprintln!("{}: {problem}", problem.severity);
    }
}

/// Prints to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // As a program ends that the signal ends.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::from(141)),
        result => result.map(|()| ExitCode::SUCCESS).context("cannot write to standard output"),
    }
}
