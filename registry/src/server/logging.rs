//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Writes log lines from now on.
pub fn start(ours: LevelFilter, format: LogFormat) {
    // Libraries speak up from warnings on, and otherwise only when everything is asked for.
    let theirs = if ours == LevelFilter::TRACE { ours } else { ours.min(LevelFilter::WARN) };
    let filter = Targets::new()
        .with_default(theirs)
        .with_target("registry", ours)
        .with_target("certs", ours);
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => {
            fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed()
        }
    };
    // A second call, as in tests, leaves the first in place.
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
}
