//! One rule.

use std::sync::Arc;

use super::request_match::{Asked, RequestMatch};
use super::subset::Subset;
use crate::service::Tags;
use crate::version::Version;
use crate::virtual_host::Share;

/// Where some of the requests for a service go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Which requests: those that any of these admits; none: all.
    pub matches: Vec<RequestMatch>,
    /// Between whom they are shared out, by weight.
    pub targets: Vec<Target>,
    /// Where copies of them go.
    pub mirrors: Vec<Mirror>,
}

/// Copies of requests, whose responses nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Whom they go to.
    pub to: MirrorTo,
    /// Of how many requests.
    pub share: Share,
}

/// Whom copies go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorTo {
    /// Other instances of the service.
    Subset(Subset),
    /// Another service, by its own rules.
    Service(Arc<str>),
}

/// Whose requests a rule is about. A proxy knows who its own application is when it reads the rules,
/// and leaves out those that are about others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The service; `None`: any.
    pub service: Option<Box<str>>,
    /// What it has to be tagged with.
    pub tags: Tags,
}

/// A share of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its share, of the sum of all weights.
    pub weight: u32,
    /// Which instances get it.
    pub subset: Subset,
}

impl Rule {
    /// Whether it is about a request.
    pub fn admits(&self, asked: &impl Asked) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|one| one.admits(asked))
    }
}

impl Caller {
    /// Whether `service` with these tags is one it is about.
    pub fn admits(&self, service: &str, tags: &Tags) -> bool {
        let tagged = |(name, value): (&Arc<str>, &Arc<str>)| {
            tags.get(name).is_some_and(|found| found == value || is_same_version(found, value))
        };
        self.service.as_deref().is_none_or(|name| name == service) && self.tags.iter().all(tagged)
    }
}

/// `1.0` is `1.0.0`.
fn is_same_version(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(str::parse::<Version>);
    a.is_ok() && a == b
}

#[cfg(test)]
mod tests {
    use super::Caller;
    use crate::Tags;

    #[test]
    fn a_rule_is_about_some_callers() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let us = tags(&[("version", "1.0"), ("app", "sales")]);
        for (service, wanted, admitted) in [
            (None, tags(&[]), true),
            (Some("ServiceA"), tags(&[]), true),
            (Some("ServiceB"), tags(&[]), false),
            (Some("ServiceA"), tags(&[("app", "sales")]), true),
            (None, tags(&[("version", "1.0.0")]), true),
            (None, tags(&[("version", "2.0")]), false),
            (None, tags(&[("zone", "1")]), false),
        ] {
            let caller = Caller { service: service.map(Into::into), tags: wanted };
            assert_eq!(caller.admits("ServiceA", &us), admitted, "{caller:?}");
        }
    }
}
