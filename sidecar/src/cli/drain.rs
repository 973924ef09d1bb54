//! `mesher drain`

use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;

use super::ask::{address, ask, within};
use crate::configuration::Inputs;

/// The longest answer that is shown.
const LONGEST: usize = 4 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub(super) fn run(args: &Args, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let address = address(inputs);
    let asking = ask(address, Method::POST, "/drain", LONGEST);
    within(Duration::from_secs(args.timeout), address, ": it goes on draining", asking)?;
    Ok(ExitCode::SUCCESS)
}
