//! What keeps the proxy from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the proxy did not start. What becomes of single requests is said to their senders.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address can't be listened on.
    #[error("cannot listen on {address} for {what}: {reason}; {}", advice(reason))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Which listener.
        what: &'static str,
        /// Why not; said above, so no cause of its own.
        reason: io::Error,
    },
    /// A thread or its event loop can't be made.
    #[error("cannot start a worker thread: {0}; check the limits on threads and open files")]
    Worker(io::Error),
    /// A file of `tls.yaml` can't be read, or is not what it should be.
    #[error("tls.yaml, {}: {reason}", named(tag))]
    Certificate {
        /// Which tag.
        tag: String,
        /// What is wrong; said above, so no cause of its own.
        reason: certs::Error,
    },
    /// TLS does not go with what `tls.yaml` says.
    #[error("tls.yaml, {}: {reason}", named(tag))]
    Tls {
        /// Which tag.
        tag: String,
        /// Why not; said above, so no cause of its own.
        reason: rustls::Error,
    },
    /// There is nowhere to write the access log to.
    #[error("cannot write the access log to {}: {reason}; check mesher.accessLog.to", to.display())]
    AccessLog {
        /// Where it was to be written.
        to: PathBuf,
        /// Why not; said above, so no cause of its own.
        reason: io::Error,
    },
    /// The client of service-center does not start.
    #[error(transparent)]
    ServiceCenter(#[from] discovery::servicecenter::Error),
    /// The client of istiod does not start.
    #[error(transparent)]
    Pilot(#[from] discovery::ads::Error),
    /// The client of the configuration center does not start.
    #[error(transparent)]
    Center(#[from] discovery::center::Error),
}

fn named(tag: &str) -> &str {
    if tag.is_empty() { "keys without a tag" } else { tag }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has it: stop that one or choose another port",
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have the address: check INSTANCE_IPS and the listenAddress"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
        _ => "check the address",
    }
}
