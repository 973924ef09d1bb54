//! How a client is doing, for people.

use std::sync::Arc;
use std::time::SystemTime;

use super::protocol::{Kind, Standing, Variant};

/// How the client is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who we are to the control plane.
    pub node: String,
    /// The variant of the protocol that is spoken.
    pub variant: Variant,
    /// Since when there is a stream, while there is one.
    pub connected_since: Option<SystemTime>,
    /// Streams so far.
    pub streams: u64,
    /// How each kind of resources stands.
    pub subscriptions: Vec<(Kind, Standing)>,
    /// Clusters that are known.
    pub clusters: usize,
    /// Those with endpoints that are followed.
    pub assignments: usize,
    /// Hosts with routes.
    pub hosts: usize,
    /// What resources in use ask for and is not carried out: the resource, and what.
    pub unsupported: Vec<(Arc<str>, Vec<Arc<str>>)>,
}
