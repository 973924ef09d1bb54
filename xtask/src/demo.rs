//! `cargo xtask demo`: the main job, shown on a real API server.

use anyhow::{Result, bail};
use clap::Args;

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {}

impl Demo {
    /// Runs the demonstration.
    #[expect(
        clippy::unused_self,
        reason = "its options come with the demonstration"
    )]
    pub(crate) fn run(&self) -> Result<()> {
        bail!("the demonstration is not there yet; `cargo xtask test` runs what is")
    }
}
