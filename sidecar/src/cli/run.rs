//! `mesher run`

use std::process::ExitCode;

use anyhow::bail;

use super::logging;
use crate::configuration::Inputs;

pub(super) fn run(inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let configuration = inputs.read();
    if configuration.is_faulty() {
        super::report(&configuration.problems);
        bail!("the configuration has errors: `mesher config dump` shows what is in force");
    }
    let warnings: Vec<String> = configuration.warnings().map(ToString::to_string).collect();
    let settings = configuration.settings()?;
    logging::start(settings.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    bail!("this build cannot carry traffic yet: only `mesher config` is complete")
}
