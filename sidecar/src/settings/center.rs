//! The configuration center: where keys come from besides files.

use std::time::Duration;

use discovery::center::ApiVersion;

/// A configuration center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Center {
    /// What it is.
    pub kind: CenterKind,
    /// Base URLs, `http` or `https`, tried in order.
    pub addresses: Vec<String>,
    /// Whether it is to answer as soon as something changes, where it can.
    pub waits: bool,
    /// Between two questions, or until it has to answer one.
    pub interval: Duration,
    /// The project in the path.
    pub project: String,
}

/// Which configuration center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CenterKind {
    /// ServiceComb kie.
    Kie,
    /// The one of the first generation.
    ConfigCenter {
        /// Where its API is.
        api: ApiVersion,
        /// `X-Tenant-Name`
        tenant: String,
        /// What is asked for instead of `SERVICE@APP#VERSION`.
        dimension: Option<String>,
    },
}
