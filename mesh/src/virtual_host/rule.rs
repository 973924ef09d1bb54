//! One rule, and what becomes of the requests it is about.

use std::sync::Arc;
use std::time::Duration;

use super::{Fault, RequestMatch, RetryPolicy, Share};
use crate::route::Pattern;

/// A rule of a port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    /// What its source calls it; empty where it does not.
    pub name: Arc<str>,
    /// Which requests it is about.
    pub matches: RequestMatch,
    /// What becomes of them.
    pub action: Action,
    /// How their headers are changed.
    pub request_headers: HeaderChanges,
    /// How the headers of their responses are changed.
    pub response_headers: HeaderChanges,
    /// What is done to some of them on purpose.
    pub fault: Option<Fault>,
    /// What its source asks for besides that this model has no place for, by the source's names.
    pub unsupported: Vec<Arc<str>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is sent on.
    Forward(Box<Forward>),
    /// Its client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// It is answered.
    Respond(Respond),
}

/// Where a request is sent, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forward {
    /// Where to: one of them is drawn, by weight.
    pub destinations: Vec<Destination>,
    /// What it may take until its response is complete; `None`: whatever the proxy's own limits
    /// say. Zero: as long as it wants.
    pub timeout: Option<Duration>,
    /// When it is tried again; `None`: as the proxy does by itself.
    pub retry: Option<RetryPolicy>,
    /// What of it decides about its endpoint, where that is found by hashing; the first that is
    /// there.
    pub hash: Vec<HashKey>,
    /// The path it asks for instead.
    pub path: Option<PathRewrite>,
    /// The host it asks for instead.
    pub host: Option<Arc<str>>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
}

/// One place that requests of a rule may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The [`crate::Cluster`], by its name.
    pub cluster: Arc<str>,
    /// Its share, beside the others'.
    pub weight: u32,
    /// How headers of requests that go there are changed.
    pub request_headers: HeaderChanges,
    /// How those of their responses are.
    pub response_headers: HeaderChanges,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The value of a header, by its name in lower case.
    Header(Arc<str>),
    /// A cookie. Where a lifetime is said and it is absent, one is made.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// How long one that is made lives; zero: until the client ends.
        lifetime: Option<Duration>,
        /// Its path.
        path: Arc<str>,
    },
    /// A parameter of the query.
    Query(Arc<str>),
    /// The client's address.
    SourceAddress,
}

/// How a path is written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// What the rule's prefix (or path) matched is replaced by this.
    Prefix(Arc<str>),
    /// The whole path, without the query.
    Whole(Arc<str>),
    /// Wherever the expression matches; `\1` is its first group.
    Pattern(Pattern, Arc<str>),
}

/// A copy whose response nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The [`crate::Cluster`] it goes to.
    pub cluster: Arc<str>,
    /// Of how many requests.
    pub share: Share,
}

/// Where a client is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme.
    pub scheme: Option<Arc<str>>,
    /// Another host.
    pub host: Option<Arc<str>>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<PathRewrite>,
    /// Whether the query is left out.
    pub strip_query: bool,
}

/// An answer that needs nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Arc<[u8]>,
}

/// How the headers of a message are changed, one after the other.
pub type HeaderChanges = Vec<HeaderChange>;

/// One of them. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange {
    /// All of that name go.
    Remove(Arc<str>),
    /// One is written.
    Write {
        /// Its name.
        name: Arc<str>,
        /// Its value.
        value: Arc<str>,
        /// What becomes of one that is there.
        how: Write,
    },
}

/// What becomes of a header that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It stays, beside the new one.
    Append,
    /// It stays, and there is no new one.
    IfAbsent,
    /// It is replaced; where there is none, one is added.
    Set,
    /// It is replaced; where there is none, none is added.
    IfPresent,
}

impl RouteRule {
    /// A rule that sends every request to one cluster, as routes without a rule do.
    pub fn everything_to(cluster: impl Into<Arc<str>>) -> Self {
        let destination = Destination {
            cluster: cluster.into(),
            weight: 1,
            request_headers: HeaderChanges::new(),
            response_headers: HeaderChanges::new(),
        };
        let forward = Forward { destinations: vec![destination], ..Forward::default() };
        Self {
            name: "".into(),
            matches: RequestMatch::default(),
            action: Action::Forward(Box::new(forward)),
            request_headers: HeaderChanges::new(),
            response_headers: HeaderChanges::new(),
            fault: None,
            unsupported: Vec::new(),
        }
    }

    /// The clusters that it speaks of.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let forward = match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        };
        let destinations = forward.into_iter().flat_map(|forward| &forward.destinations);
        let mirrors = forward.into_iter().flat_map(|forward| &forward.mirrors);
        destinations.map(|to| &to.cluster).chain(mirrors.map(|mirror| &mirror.cluster))
    }
}

#[cfg(test)]
mod tests {
    use super::RouteRule;

    #[test]
    fn a_rule_without_conditions_is_about_everything() {
        let rule = RouteRule::everything_to("v1");
        assert!(rule.matches.is_any());
        assert_eq!(rule.clusters().map(|name| &**name).collect::<Vec<_>>(), ["v1"]);
    }
}
