//! What TLS is made with.

use std::path::PathBuf;

/// One tag of `tls.yaml`, with what the more general tags say where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The chain that is shown.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The file with the key's password, where it has one.
    pub password: Option<PathBuf>,
    /// Whom to trust.
    pub ca: Option<PathBuf>,
    /// Whether the peer has to prove who it is; `None`: nobody said, see
    /// [`Self::verifies_clients`] and [`Self::verifies_servers`].
    pub verify_peer: Option<bool>,
    /// The name expected of a server, where it is not the service's.
    pub server_name: Option<String>,
    /// The oldest version that is spoken.
    pub oldest_version: TlsVersion,
    /// What TLS 1.2 may use, by the names of its registry; empty: all that are safe.
    pub cipher_suites: Vec<String>,
}

impl Tls {
    /// As the server: clients are asked for a certificate only where that was said.
    pub fn verifies_clients(&self) -> bool {
        self.verify_peer == Some(true)
    }

    /// As the client: where there is a CA to verify servers with, that is done unless it was said
    /// not to be.
    pub fn verifies_servers(&self) -> bool {
        self.verify_peer.unwrap_or(self.ca.is_some())
    }
}

/// `protocol` of `tls.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// And TLS 1.3.
    #[default]
    Tls12,
    /// Only this one.
    Tls13,
}
