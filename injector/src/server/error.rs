//! Why the server cannot start.

use std::net::SocketAddr;

use crate::config::ConfigError;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A configuration or template that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port that cannot be had.
    #[error("cannot listen on {address} ({key}): {source}: is another process there?")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The key that says so.
        key: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread that cannot be had.
    #[error("cannot start a thread: {0}: is there a limit on processes?")]
    Threads(std::io::Error),
    /// A signal handler that cannot be set.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// Names or files of the certificate.
    #[error(transparent)]
    Certificate(#[from] certs::Error),
    /// No place for the certificate.
    #[error("tls.folder: name the folder of the certificate")]
    NoFolder,
    /// No way to the API server.
    #[error("{0} (to run without a cluster: --no-kubernetes)")]
    Kubernetes(#[from] crate::kubernetes::Error),
}
