//! What is written: what happens to the proxy, and a line for each request.

use std::path::PathBuf;

/// What is written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// The least urgent level that is written.
    pub level: LogLevel,
    /// One JSON object a line, instead of text for people.
    pub json: bool,
}

/// `mesher.accessLog`: a line for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub to: LogTarget,
    /// One JSON object a line, instead of text for people.
    pub json: bool,
    /// Of a million requests, so many are logged however they end.
    pub sample: u32,
    /// Whether those that failed are logged whatever `sample` says.
    pub errors: bool,
    /// Whether what follows the `?` of a URL is shown; it may be what nobody else should know.
    pub query: bool,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { to: LogTarget::Off, json: false, sample: 1_000_000, errors: true, query: false }
    }
}

/// Where lines of the access log go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// There are none.
    #[default]
    Off,
    /// To standard output; all else goes to standard error.
    Stdout,
    /// To the end of a file, which may be moved away at any time: another one is begun then.
    File(PathBuf),
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what may break.
    Warn,
    /// And what changes.
    #[default]
    Info,
    /// And connections.
    Debug,
    /// And what libraries do.
    Trace,
}
