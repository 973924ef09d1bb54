//! What can go wrong with a control plane.

use std::path::PathBuf;

/// Why there is no stream, or not any more.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("istiod at {address}: {reason}; check ISTIO_PILOT_ADDR and the network")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// It ended the stream, or refused it.
    #[error("istiod at {address} ended the stream: {code}: {message}")]
    Ended {
        /// Who.
        address: String,
        /// The status of gRPC, in words.
        code: String,
        /// What it said.
        message: String,
    },
    /// A file that TLS or the token needs can't be read, or holds nothing of use.
    #[error("{}: {reason}; istiod's port 15012 needs it, port 15010 does not", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The configured address is none.
    #[error(
        "ISTIO_PILOT_ADDR \"{address}\": {reason}; write host:port, as in istiod.istio-system.svc:15010"
    )]
    Address {
        /// As it was written.
        address: String,
        /// What is wrong.
        reason: String,
    },
}
