//! `cargo xtask tools`: builds the pinned programs into the user's cache.

use anyhow::{Result, bail};
use clap::Args;
use testbed::tools::{self, Purpose, TOOLS, Tool};

/// Options of `cargo xtask tools`.
#[derive(Debug, Args)]
pub(crate) struct Tools {
    /// The tools to build; all of them if none is named
    #[arg(value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(
        TOOLS.iter().map(|tool| clap::builder::PossibleValue::new(tool.name).help(tool.about))
    ))]
    names: Vec<String>,
}

impl Tools {
    /// Builds what is missing and prints where each program lies.
    pub(crate) fn run(&self) -> Result<()> {
        let wanted: Vec<&Tool> = if self.names.is_empty() {
            TOOLS.iter().collect()
        } else {
            self.names.iter().map(|name| tools::named(name)).collect::<Result<_>>()?
        };
        ensure(&wanted)?;
        for tool in wanted {
            for program in tool.recipe.programs() {
                println!("{:<24} {}", program, tools::program(program)?.display());
            }
        }
        Ok(())
    }
}

/// Builds every tool of one purpose.
pub(crate) fn ensure_for(purpose: Purpose) -> Result<()> {
    let wanted: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.purpose == purpose).collect();
    ensure(&wanted)
}

/// Tries to provide what not every machine can have. Without it some tests are skipped, and say so.
pub(crate) fn try_optional() {
    for (purpose, tests) in
        [(Purpose::Comparison, "comparisons"), (Purpose::Node, "tests of a node")]
    {
        if let Err(error) = ensure_for(purpose) {
            eprintln!("some {tests} will be skipped: {error:#}");
        }
    }
}

/// Builds the tools that are called so.
pub(crate) fn ensure_named(names: &[&str]) -> Result<()> {
    ensure(&names.iter().map(|name| tools::named(name)).collect::<Result<Vec<_>>>()?)
}

/// Builds the missing ones among `tools`. When one fails the others are still
/// built, so that one run shows all that has to be installed.
fn ensure(tools: &[&Tool]) -> Result<()> {
    let mut failures = Vec::new();
    let mut missing = Vec::new();
    for tool in tools {
        match tool.is_there() {
            Ok(true) => {}
            Ok(false) => missing.push(tool),
            Err(error) => failures.push(format!("{}: {error:#}", tool.name)),
        }
    }
    for (index, tool) in missing.iter().enumerate() {
        eprintln!("tool {} of {}: {}", index + 1, missing.len(), tool.about);
        if let Err(error) = tool.ensure() {
            failures.push(format!("{error:#}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}
