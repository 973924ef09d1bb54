//! Rules of files about a service whose source has rules too. They come first: who writes them
//! means this application.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::route::{Asked, Rule, Subset};
use mesh::{Cluster, Member, Version, VersionRule};

use super::{Compiling, Ruled, Then, serving, terms};
use crate::settings::Terms;

/// A rule, with what becomes of its requests.
#[derive(Debug)]
pub(super) struct Division {
    rule: Rule,
    pub(super) then: Then,
}

impl Division {
    /// Whether it is about a request.
    pub(super) fn admits(&self, asked: &impl Asked) -> bool {
        self.rule.admits(asked)
    }
}

impl Compiling<'_> {
    /// The rules at one port of the service.
    pub(super) fn divisions(&self, rules: &[Rule], port: u16) -> Box<[Division]> {
        let divide = |rule: &Rule| {
            let weights = rule.targets.iter().map(|target| target.weight).collect();
            let routes = rule.targets.iter().map(|target| self.filed(&target.subset, port));
            Division { rule: rule.clone(), then: Then::to(weights, routes.collect()) }
        };
        rules.iter().map(divide).collect()
    }

    /// The route of a subset that a file speaks of.
    fn filed(&self, subset: &Subset, port: u16) -> Arc<super::Route> {
        let clusters = self
            .routing
            .clusters
            .iter()
            .filter(|cluster| cluster.service == self.state.key && cluster.port == port);
        let mut members: BTreeMap<_, &Member> = BTreeMap::new();
        for cluster in clusters.clone() {
            let admitted = cluster.members.iter().filter(|member| admits(subset, cluster, member));
            members.extend(admitted.map(|member| (&member.instance.id, member)));
        }
        let whole = clusters.clone().find(|cluster| cluster.label.is_empty());
        let terms = match whole {
            Some(cluster) => Arc::new(terms::of_cluster(Terms::clone(self.base), cluster)),
            None => Arc::clone(self.base),
        };
        let key = &self.state.key;
        let endpoints = serving(key, members.values().copied(), self.registry, self.now);
        self.made(endpoints, &terms, Ruled::default(), subset)
    }
}

/// Whether a member of a cluster is one of a subset: by what Istio says of its workload, or as the
/// DestinationRule calls it. Who names no version means any.
fn admits(subset: &Subset, cluster: &Cluster, member: &Member) -> bool {
    let labelled = || {
        let version = subset.tags.get("version").filter(|_| subset.tags.len() == 1);
        version.is_some_and(|version| *version == cluster.label)
    };
    let instance = &member.instance;
    let any = Subset { versions: VersionRule::AtLeast(Version::default()), ..subset.clone() };
    let meant = if subset.versions == VersionRule::Latest { &any } else { subset };
    labelled() || meant.admits(instance, instance.version)
}
