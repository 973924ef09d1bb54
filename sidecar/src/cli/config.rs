//! `mesher config`

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::check;
use crate::configuration::{Inputs, schema, schema_files};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print every value in force and where it comes from
    ///
    /// Secrets are masked. What is wrong goes to standard error; with errors the exit code is 3.
    Dump {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
        output: Format,
    },
    /// Say whether the files of a folder could be used
    Check(check::Args),
    /// Print the JSON Schema of a file, or of all
    Schema {
        /// The file
        #[arg(value_parser = PossibleValuesParser::new(schema_files()))]
        file: Option<String>,
    },
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One key a line, its origin behind it
    Yaml,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Dump { output } => {
            let configuration = inputs.read();
            super::report(&configuration.problems);
            let text = match output {
                Format::Yaml => configuration.to_yaml(),
                Format::Json => pretty(&configuration.to_json())?,
            };
            let printed = super::print(&text)?;
            Ok(if configuration.is_faulty() { ExitCode::from(super::FAULTY) } else { printed })
        }
        Command::Check(args) => check::run(args),
        Command::Schema { file: Some(file) } => {
            super::print(&pretty(&schema(file).unwrap_or_default())?)
        }
        Command::Schema { file: None } => {
            let all = schema_files().into_iter().map(|file| (file.to_owned(), schema(file)));
            let all: serde_json::Map<_, _> =
                all.filter_map(|(file, schema)| Some((file, schema?))).collect();
            super::print(&pretty(&all.into())?)
        }
    }
}

fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
