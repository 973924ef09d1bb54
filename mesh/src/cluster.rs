//! A part of a service at one of its ports, as xDS describes it.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{HashOn, Outliers, Strategy};
use crate::instance::Instance;
use crate::service_key::ServiceKey;

/// Some instances of a service at one of its ports, with the terms for sending requests there: what
/// Istio makes of a subset of a DestinationRule. Rules of a service may send requests to clusters of
/// another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// What rules call it.
    pub name: Arc<str>,
    /// The service that its instances are of.
    pub service: ServiceKey,
    /// The label that people know it by, as in `v1`; empty: all instances.
    pub label: Arc<str>,
    /// The port of that service.
    pub port: u16,
    /// Who takes requests, in the order of their ids.
    pub members: Vec<Member>,
    /// The terms.
    pub terms: Arc<ClusterTerms>,
}

/// An instance as one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The instance. Its endpoints are those at the cluster's port.
    pub instance: Arc<Instance>,
    /// Its share, beside the others'; at least 1.
    pub weight: u32,
    /// Others are used only while there is none of a lower number.
    pub priority: u32,
    /// Where it runs.
    pub locality: Arc<Locality>,
}

/// Where something runs; empty where nobody said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Locality {
    /// The region.
    pub region: Arc<str>,
    /// The zone within it.
    pub zone: Arc<str>,
    /// A part of the zone.
    pub sub_zone: Arc<str>,
}

/// The terms for sending requests to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTerms {
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// What a connection may take to come about; `None`: whatever the proxy's own limits say.
    pub connect_timeout: Option<Duration>,
    /// When endpoints that answer badly are left out.
    pub outliers: Outliers,
    /// How much may be under way at once.
    pub limits: ConnectionLimits,
    /// What is spoken below HTTP.
    pub security: Security,
    /// Below so many percent of usable endpoints, all are used; 0: never.
    pub panic_percent: u8,
    /// How long an endpoint that is new gets less than its share.
    pub slow_start: Option<Duration>,
    /// What its source asks for besides that this model has no place for, by the source's names.
    pub unsupported: Vec<Arc<str>>,
}

impl Default for ClusterTerms {
    fn default() -> Self {
        Self {
            balance: Balance::RoundRobin,
            connect_timeout: None,
            outliers: Outliers::default(),
            limits: ConnectionLimits::default(),
            security: Security::Plain,
            panic_percent: 0,
            slow_start: None,
            unsupported: Vec::new(),
        }
    }
}

/// How an endpoint is chosen: a [`Strategy`], but for what is hashed, which rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, by weight.
    RoundRobin,
    /// The one with less under way, of so many that are drawn.
    LeastRequest {
        /// How many are drawn.
        choices: u32,
    },
    /// Any.
    Random,
    /// By hashing, on a ring.
    RingHash {
        /// Its least number of points.
        least: u64,
        /// Its greatest.
        most: u64,
    },
    /// By hashing, in a table.
    Maglev {
        /// Its size, a prime.
        size: u64,
    },
}

impl Balance {
    /// The strategy, for requests of which that is hashed. With nothing to hash, any endpoint is
    /// taken, as Envoy does it.
    pub fn of(self, hash: Option<HashOn>) -> Strategy {
        match (self, hash) {
            (Self::RoundRobin, _) => Strategy::RoundRobin,
            (Self::LeastRequest { .. }, _) => Strategy::LeastLoaded,
            (Self::RingHash { .. }, Some(hash)) => Strategy::RingHash(hash),
            (Self::Maglev { .. }, Some(hash)) => Strategy::Maglev(hash),
            (Self::Random | Self::RingHash { .. } | Self::Maglev { .. }, _) => Strategy::Random,
        }
    }

    /// It in a word, for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequest { .. } => "least_request",
            Self::Random => "random",
            Self::RingHash { .. } => "ring_hash",
            Self::Maglev { .. } => "maglev",
        }
    }
}

/// How much may be under way at once; `None`: any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionLimits {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests.
    pub requests: Option<u32>,
    /// Retries.
    pub retries: Option<u32>,
    /// Requests on one connection, one after the other.
    pub requests_per_connection: Option<u32>,
}

/// What is spoken below HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plain,
    /// TLS with whoever speaks it and nothing with the others: Istio's automatic mutual TLS.
    Automatic,
    /// Istio's mutual TLS, and nothing else.
    IstioMutual,
    /// TLS.
    Tls {
        /// The name that is asked for.
        server_name: Arc<str>,
    },
}

impl Security {
    /// It in a word, for people.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Automatic => "automatic",
            Self::IstioMutual => "istio_mutual",
            Self::Tls { .. } => "tls",
        }
    }
}
