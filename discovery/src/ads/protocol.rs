//! What is said on a stream, without the stream: what is subscribed to, and which answers a
//! response gets. Both variants of the protocol are kept by the same state.
//!
//! What istiod really does, and is relied on here: a request with a nonce that is not the last one
//! is ignored, with the names in it; so every acknowledgement of a state-of-the-world stream
//! carries all names, and on a delta stream names are asked for without a nonce. Versions are
//! opaque, and start again with each istiod.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::{Code, Status};

/// The kinds of resources that are asked for, in the order in which they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Clusters: all there are.
    Clusters,
    /// The endpoints of those that somebody wants.
    Endpoints,
    /// The routes of an HTTP proxy.
    Routes,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Clusters, Self::Endpoints, Self::Routes];

    /// What xDS calls it.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Clusters => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// What people call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clusters => "CDS",
            Self::Endpoints => "EDS",
            Self::Routes => "RDS",
        }
    }

    /// The kind of that type.
    pub fn of_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }
}

/// The two variants of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Only what changed is sent.
    Delta,
    /// Everything of a kind is sent, but for endpoints, of which only what changed is.
    Whole,
}

impl Variant {
    /// It in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Whole => "state_of_the_world",
        }
    }
}

/// How the subscription to one kind stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Names asked for; none for a kind of which everything is.
    pub names: usize,
    /// The version that was last acknowledged, whatever it means to the control plane.
    pub version: String,
    /// When that was.
    pub acknowledged_at: Option<SystemTime>,
    /// When a response was last refused.
    pub refused_at: Option<SystemTime>,
    /// Why, in the words that the control plane was told.
    pub refused_for: Option<String>,
    /// Responses so far, on all streams.
    pub responses: u64,
    /// Of those, the ones that were refused.
    pub refusals: u64,
}

/// A request, in either variant.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    pub(super) type_url: &'static str,
    /// The first of a stream says who asks.
    pub(super) first: bool,
    /// All names that are wanted.
    names: Vec<String>,
    /// Names that are new, and names that are not wanted any more.
    subscribe: Vec<String>,
    unsubscribe: Vec<String>,
    /// Names that are known from an earlier stream.
    known: Vec<String>,
    version: String,
    nonce: String,
    /// Not about a response, but about names.
    unasked: bool,
    error: Option<String>,
}

impl Said {
    pub(super) fn whole(self, node: &Node) -> DiscoveryRequest {
        DiscoveryRequest {
            version_info: self.version,
            node: self.first.then(|| node.clone()),
            resource_names: self.names,
            type_url: self.type_url.to_owned(),
            response_nonce: self.nonce,
            error_detail: self.error.map(detail),
            ..DiscoveryRequest::default()
        }
    }

    pub(super) fn delta(self, node: &Node) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: self.first.then(|| node.clone()),
            type_url: self.type_url.to_owned(),
            resource_names_subscribe: self.subscribe,
            resource_names_unsubscribe: self.unsubscribe,
            initial_resource_versions: self
                .known
                .into_iter()
                .map(|name| (name, String::new()))
                .collect(),
            response_nonce: if self.unasked { String::new() } else { self.nonce },
            error_detail: self.error.map(detail),
            ..DeltaDiscoveryRequest::default()
        }
    }
}

fn detail(message: String) -> Status {
    Status { code: Code::InvalidArgument.into(), message, details: Vec::new() }
}

/// What is subscribed to, and how that stands.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(HashMap<Kind, Subscription>);

#[derive(Debug, Default)]
struct Subscription {
    wanted: BTreeSet<Arc<str>>,
    /// On this stream: what was asked for, if anything was yet.
    asked: Option<BTreeSet<Arc<str>>>,
    nonce: String,
    /// Of this stream.
    version: String,
    standing: Standing,
}

impl Subscriptions {
    /// What is wanted of a kind; on a stream that is open, what has to be said for that.
    pub(super) fn want(&mut self, kind: Kind, names: BTreeSet<Arc<str>>) -> Option<Said> {
        let of = self.0.entry(kind).or_default();
        of.standing.names = names.len();
        of.wanted = names;
        let open = of.asked.is_some();
        // A stream without names would be one with all of them, were it of another kind.
        if !open || of.asked.as_ref() == Some(&of.wanted) {
            return None;
        }
        Some(of.ask(kind))
    }

    /// Whether a kind has been asked for on this stream.
    pub(super) fn is_open(&self, kind: Kind) -> bool {
        self.0.get(&kind).is_some_and(|of| of.asked.is_some())
    }

    /// A new stream: what was said on the last one is of no account.
    pub(super) fn reset(&mut self) {
        for of in self.0.values_mut() {
            of.asked = None;
            of.nonce.clear();
            of.version.clear();
        }
    }

    /// Asks for a kind for the first time on a stream. `known` is what is held of it already.
    pub(super) fn open(&mut self, kind: Kind, known: impl Iterator<Item = Arc<str>>) -> Said {
        let of = self.0.entry(kind).or_default();
        of.asked = Some(BTreeSet::new());
        let known = known.map(|name| name.to_string()).collect();
        Said { known, ..of.ask(kind) }
    }

    /// A response has come and was looked at: `error` says what is wrong with it.
    pub(super) fn answer(
        &mut self,
        kind: Kind,
        version: &str,
        nonce: &str,
        error: Option<String>,
        now: SystemTime,
    ) -> Said {
        let of = self.0.entry(kind).or_default();
        nonce.clone_into(&mut of.nonce);
        of.standing.responses += 1;
        match &error {
            None => {
                version.clone_into(&mut of.version);
                version.clone_into(&mut of.standing.version);
                of.standing.acknowledged_at = Some(now);
            }
            Some(reason) => {
                of.standing.refusals += 1;
                of.standing.refused_at = Some(now);
                of.standing.refused_for = Some(reason.clone());
            }
        }
        Said {
            type_url: kind.type_url(),
            names: of.wanted.iter().map(ToString::to_string).collect(),
            version: of.version.clone(),
            nonce: nonce.to_owned(),
            error,
            ..Said::default()
        }
    }

    /// How each kind stands.
    pub(super) fn standings(&self) -> Vec<(Kind, Standing)> {
        let standing = |kind| self.0.get(&kind).map(|of: &Subscription| of.standing.clone());
        Kind::ALL.into_iter().map(|kind| (kind, standing(kind).unwrap_or_default())).collect()
    }
}

impl Subscription {
    fn ask(&mut self, kind: Kind) -> Said {
        let asked = self.asked.take().unwrap_or_default();
        let only = |these: &BTreeSet<Arc<str>>, others: &BTreeSet<Arc<str>>| {
            these.difference(others).map(ToString::to_string).collect()
        };
        let said = Said {
            type_url: kind.type_url(),
            names: self.wanted.iter().map(ToString::to_string).collect(),
            subscribe: only(&self.wanted, &asked),
            unsubscribe: only(&asked, &self.wanted),
            version: self.version.clone(),
            nonce: self.nonce.clone(),
            unasked: true,
            ..Said::default()
        };
        self.asked = Some(self.wanted.clone());
        said
    }
}
