//! How requests are governed: by which rules they are routed, and on which terms they are sent.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh::balance::{Outliers, Strategy};
use mesh::route::{RequestMatch, Rule};
use mesh::{BreakerTerms, Fault, Rate, Retries};

/// All of it. Everything here is taken over while `mesher` runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Governance {
    /// Where requests of a service go, by its name; rules in the order in which they are looked at.
    /// Rules about other callers than this application are not among them.
    pub rules: BTreeMap<String, Vec<Rule>>,
    /// The terms of requests to services, and to hosts outside of the mesh.
    pub consumer: Terms,
    /// Of requests to services with terms of their own.
    pub services: BTreeMap<String, Terms>,
    /// Of requests to the application behind us.
    pub provider: Terms,
    /// How many requests callers may make of the application behind us, by their services' names.
    /// Those that are not here share what the terms say.
    pub callers: BTreeMap<String, Rate>,
    /// Limits of requests that look alike: of those that the application makes.
    pub consumer_groups: Vec<LimitGroup>,
    /// Of those that it is sent.
    pub provider_groups: Vec<LimitGroup>,
    /// What requests that the application makes are marked with, for the proxies behind.
    pub consumer_marks: Vec<Mark>,
    /// What those that it is sent are.
    pub provider_marks: Vec<Mark>,
    /// Where we are, if instances close by are to be preferred.
    pub close_to: Option<Zone>,
}

/// The terms on which requests are sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// When no more are sent for a while.
    pub breaker: BreakerTerms,
    /// Which instance gets them.
    pub balancing: Balancing,
    /// How often they are tried, and where.
    pub retries: Retries,
    /// Statuses that count as failures, to breaker and retries.
    pub failing: Vec<u16>,
    /// What they may take; `None`: what the limits say.
    pub timeout: Option<Duration>,
    /// What a connection for them may take; `None`: what the limits say.
    pub connect: Option<Duration>,
    /// How many may be sent.
    pub rate: Option<Rate>,
    /// How many may be under way.
    pub concurrency: Option<u32>,
    /// What is done to them on purpose.
    pub fault: Fault,
    /// What is answered in place of a service that cannot be asked.
    pub fallback: Fallback,
}

/// What is answered in place of a service that cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fallback {
    /// `returnnull`: 200 and nothing more, rather than what went wrong.
    pub empty: bool,
    /// `force`: the service is not asked at all.
    pub forced: bool,
}

/// Which instance gets a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balancing {
    /// How one is chosen.
    pub strategy: Strategy,
    /// Which are left out for how they answer.
    pub outliers: Outliers,
    /// Where less than this share can be used, of a hundred, whether they can is not looked at.
    pub panic_percent: u8,
    /// How long one that has just come takes to get its share; zero: no time.
    pub slow_start: Duration,
}

/// A name for requests that look alike, which others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What `X-Mark` says.
    pub name: String,
    /// Which requests: those that any of these admits.
    pub matches: Vec<RequestMatch>,
}

/// Requests that look alike, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitGroup {
    /// What it is called.
    pub name: String,
    /// Which requests: those that any of these admits.
    pub matches: Vec<RequestMatch>,
    /// Whether it is about all others instead.
    pub inverted: bool,
    /// How many.
    pub rate: Rate,
}

/// Where something runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// `region`
    pub region: String,
    /// `availableZone`
    pub zone: String,
}

impl Terms {
    /// Whether an answer with this status counts as a failure.
    pub fn fails(&self, status: u16) -> bool {
        self.failing.contains(&status)
    }
}
