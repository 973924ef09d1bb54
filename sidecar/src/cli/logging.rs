//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::settings::{Log, LogLevel};

/// Writes log lines from now on.
pub(super) fn start(log: Log) {
    let ours = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries speak up from warnings on, and otherwise only when everything is asked for.
    let theirs = if ours == LevelFilter::TRACE { ours } else { ours.min(LevelFilter::WARN) };
    let filter = Targets::new()
        .with_default(theirs)
        .with_target("sidecar", ours)
        .with_target("discovery", ours)
        .with_target("certs", ours);
    let lines = if log.json {
        fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed()
    } else {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed()
    };
    // A second call, as in tests, leaves the first in place.
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
}
