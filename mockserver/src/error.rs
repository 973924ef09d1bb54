//! What can go wrong before a server serves or a call is made.

use std::io;

/// What whoever starts the program has to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is none, or that another process has.
    #[error("{flag} {address}: cannot listen there: {source} (write HOST:PORT, :PORT or :0)")]
    Listen {
        /// The flag that names it.
        flag: &'static str,
        /// The address as it was written.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A proxy that cannot be spoken to. Its text may hold a password and is not repeated.
    #[error("{from} does not name a proxy that can be used: write http://HOST:PORT")]
    Proxy {
        /// The variable or option that names it.
        from: &'static str,
    },
    /// A URL that no request can be sent to.
    #[error("{url}: {reason}; write http://HOST[:PORT]/PATH")]
    Url {
        /// The URL as it was written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header that cannot be sent.
    #[error("--header {header:?}: write NAME: VALUE, with a name that HTTP allows")]
    Header {
        /// The header as it was written.
        header: String,
    },
    /// A body that cannot be read.
    #[error("--data @{file}: {source}")]
    Data {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output that takes no more.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// A runtime or a signal handler that the system does not give.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// An error and its causes in one line; a cause that was quoted is not said again.
pub(crate) fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line
}
