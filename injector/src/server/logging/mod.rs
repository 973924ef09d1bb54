//! Log lines on standard error.

mod json;
mod lines;

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use self::lines::Writer;

use self::json::Json;
use self::lines::Lines;
use crate::config::{Log, LogFormat, LogLevel};

/// Writes log lines from now on, and one instead of the usual text when something panics. What a
/// panic says may quote a pod; the line names only the place. Keep what it returns to the end.
pub fn start(log: &Log) -> io::Result<Writer> {
    let (lines, writer) = Lines::to(io::stderr())?;
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
        .with_target("injector", ours)
        .with_target("certs", ours);
    let lines = match log.format {
        LogFormat::Text => fmt::layer()
            .with_writer(move || lines.clone())
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => Json(lines).boxed(),
    };
    // A second call, as in tests, leaves the first in place.
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
    std::panic::set_hook(Box::new(panicked));
    Ok(writer)
}

fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a fault of the injector (panic)");
}
