//! What the client has to know.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a control plane is spoken to, and who asks.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`.
    pub address: String,
    /// For port 15012; `None`: plain text.
    pub security: Option<Security>,
    /// Who asks.
    pub node: Node,
}

/// What a secured connection is made with. The files may change: each connection reads them anew.
#[derive(Debug, Clone)]
pub struct Security {
    /// Whom to trust, as PEM (the ConfigMap `istio-ca-root-cert`).
    pub roots: PathBuf,
    /// The token that says who we are (audience `istio-ca`); sent where it is there.
    pub token: PathBuf,
}

/// Who asks: what a control plane decides by about what is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The pod's addresses, the first of which is part of its name.
    pub addresses: Vec<String>,
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account; empty where unknown.
    pub service_account: String,
    /// The node it runs on; empty where unknown.
    pub host: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its application is called.
    pub service: String,
    /// Where it runs: region, zone and a part of that, each perhaps empty.
    pub locality: [String; 3],
}
