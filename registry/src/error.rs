//! What keeps a registry from starting.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the registry cannot start, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that cannot be had.
    #[error(
        "cannot listen on {address} (--listen): {source}: is another registry running, or is this \
         not an address of this machine?"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A signal handler that cannot be set.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// Certificate or key that cannot be used.
    #[error("--tls-cert and --tls-key: {0}")]
    Certificate(#[from] certs::Error),
    /// The data file, or the folder it stands in, does not let us.
    #[error("cannot {doing} {} (--data): {source}: check the folder and its rights", path.display())]
    Data {
        /// What failed: `read`, `write`, `lock`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has the data file.
    #[error(
        "{} (--data) is in use by another registry: stop that one, or name another file",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not ours, and will not be overwritten.
    #[error(
        "{} (--data) is no data file of a registry: name another file, or move this one away",
        path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A file that another version wrote.
    #[error(
        "{} (--data) has format {found:?}, this version reads {expected:?}: run the version that \
         wrote it, or move the file away; clients register again by themselves",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// A file that was damaged.
    #[error(
        "{} (--data) is damaged at line {line}: {problem}: restore a copy, or move the file away \
         and start empty; clients register again by themselves. Nothing was changed",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first line that is not as it was written.
        line: usize,
        /// How it shows.
        problem: String,
    },
}
