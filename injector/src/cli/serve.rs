//! `sidecar-injector serve`

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[expect(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "replaced by the server"
)]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let _ = args;
    Ok(ExitCode::FAILURE)
}
