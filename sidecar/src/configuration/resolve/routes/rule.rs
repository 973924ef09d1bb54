//! The rules of one service.

use std::cmp::Reverse;
use std::sync::Arc;

use mesh::Tags;
use mesh::route::{Caller, Mirror, MirrorTo, RequestMatch, Rule, Subset, Target};
use mesh::virtual_host::Share;

use super::Us;
use super::condition;
use super::template::Templates;
use crate::configuration::resolve::block::Block;
use crate::configuration::yaml::{Content, Node};

/// Weights are shares of this.
const WHOLE: u32 = 100;

/// Reads rules.
pub(super) struct Rules<'b, 'a, 'r> {
    pub(super) block: &'b mut Block<'a, 'r>,
    pub(super) templates: &'b Templates,
    pub(super) us: &'b Us<'b>,
}

/// Whose and which requests a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) caller: Caller,
    /// Any of them; none: all requests.
    pub(super) matches: Vec<RequestMatch>,
}

impl Rules<'_, '_, '_> {
    /// Those of a list that are about us, the one that is looked at first in front. `None`: one is
    /// wrong; then none is followed, as what is meant for all requests may be left of the rest.
    pub(super) fn list(&mut self, node: &Node) -> Option<Vec<Rule>> {
        let wanted = "a list of rules, each beginning with \"- precedence:\",";
        let items = self.block.items(node, wanted)?;
        // All that is wrong is said, not just what comes first.
        let read: Vec<Option<_>> = items.iter().map(|item| self.rule(item)).collect();
        let mut rules: Vec<(i64, Option<Rule>)> = read.into_iter().collect::<Option<_>>()?;
        rules.sort_by_key(|(precedence, _)| Reverse(*precedence));
        Some(rules.into_iter().filter_map(|(_, rule)| rule).collect())
    }

    /// A rule and its precedence; without the rule where it is about others than us.
    fn rule(&mut self, node: &Node) -> Option<(i64, Option<Rule>)> {
        let fields =
            self.block.fields(node, "a rule has to say precedence, match or route: that")?;
        let (mut precedence, mut about, mut targets) = (0, Some(About::default()), None);
        let mut mirrors = Some(Vec::new());
        for (name, node) in fields {
            match name {
                "precedence" => {
                    let parse = |text: &str| text.parse().ok();
                    precedence = self.block.scalar(name, node, "a whole number", parse)?;
                }
                "match" => about = self.about(node),
                "route" | "routes" => targets = Some(self.targets(node)),
                "mirror" | "mirrors" => mirrors = self.mirrors(node),
                _ => self.block.unknown(name, node, "precedence, match, route and mirror"),
            }
        }
        let targets = match targets {
            Some(targets) => targets?,
            // It is as good as one that names the default.
            None => vec![Target { weight: WHOLE, subset: Subset::default() }],
        };
        let (About { caller, matches }, mirrors) = (about?, mirrors?);
        let ours = caller.admits(self.us.service, &self.us.tags);
        Some((precedence, ours.then_some(Rule { matches, targets, mirrors })))
    }

    fn about(&mut self, node: &Node) -> Option<About> {
        let fields = self.block.fields(node, "match: {source: …, headers: …}")?;
        let mut about = About::default();
        let mut own = RequestMatch::default();
        for (name, node) in fields {
            match name {
                "refer" => {
                    let find = |text: &str| self.templates.get(text).cloned();
                    let allowed = "the name of a sourceTemplate or of a match";
                    let referred = self.block.scalar(name, node, allowed, find)?;
                    about.matches = referred.matches;
                    about.caller.tags.extend(referred.caller.tags);
                    about.caller.service = about.caller.service.or(referred.caller.service);
                }
                "source" => {
                    let service = self.block.scalar(name, node, "a service", |text| {
                        (!text.is_empty()).then(|| text.into())
                    })?;
                    about.caller.service = Some(service);
                }
                "sourceTags" => about.caller.tags.extend(tags(self.block, name, node)?),
                _ => {
                    if !condition::field(self.block, &mut own, name, node)? {
                        let known = "refer, source, sourceTags, headers, apiPath and method";
                        self.block.unknown(name, node, known);
                    }
                }
            }
        }
        if own != RequestMatch::default() {
            // What the rule says itself has to be so too, whatever it refers to.
            if about.matches.is_empty() {
                about.matches.push(own);
            } else {
                for referred in &mut about.matches {
                    referred.methods.extend(own.methods.iter().cloned());
                    referred.path = own.path.clone().or(referred.path.take());
                    referred.headers.extend(own.headers.iter().cloned());
                }
            }
        }
        Some(about)
    }

    /// One, or a list.
    fn mirrors(&mut self, node: &Node) -> Option<Vec<Mirror>> {
        match &node.content {
            Content::List(items) => items.iter().map(|item| self.mirror(item)).collect(),
            _ => Some(vec![self.mirror(node)?]),
        }
    }

    fn mirror(&mut self, node: &Node) -> Option<Mirror> {
        let fields = self.block.fields(node, "mirror: {tags: {version: 2.0}, percent: 10}")?;
        let (mut service, mut found, mut share) = (None, None, Share::ALL);
        for (name, node) in fields {
            match name {
                "tags" => found = Some(tags(self.block, name, node)?),
                "service" => {
                    let named = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
                    service = Some(self.block.scalar(name, node, "a service", named)?);
                }
                "percent" => {
                    let percent = |text: &str| text.parse::<u32>().ok().filter(|it| *it <= WHOLE);
                    let allowed = "a whole number from 0 to 100";
                    let percent = self.block.scalar(name, node, allowed, percent)?;
                    share = Share::of_million(percent * 10_000);
                }
                _ => self.block.unknown(name, node, "tags, service and percent"),
            }
        }
        let to = match (service, found) {
            (Some(service), None) => MirrorTo::Service(service),
            (None, Some(tags)) => MirrorTo::Subset(Subset::of_tags(tags)),
            _ => {
                let wanted = "mirror: say tags, of this service, or another service: one of them";
                self.block.error(node.line, wanted);
                return None;
            }
        };
        Some(Mirror { to, share })
    }

    fn targets(&mut self, node: &Node) -> Option<Vec<Target>> {
        let wanted = "route: a list, as [{tags: {version: 1.0}, weight: 100}],";
        let items = self.block.items(node, wanted)?;
        let mut targets = Vec::new();
        let mut sum = 0;
        for item in items {
            let (subset, weight) = self.target(item)?;
            let weight = match weight {
                Some(weight) => weight,
                None if items.len() == 1 => WHOLE,
                None => {
                    self.block
                        .error(item.line, "weight is missing: say which share of 100 goes here");
                    return None;
                }
            };
            sum += weight;
            targets.push(Target { weight, subset });
        }
        if sum > WHOLE {
            self.block.error(
                node.line,
                format!("route: the weights are {sum} together: write no more than 100"),
            );
            return None;
        }
        if sum < WHOLE {
            // As in the original.
            targets.push(Target { weight: WHOLE - sum, subset: Subset::default() });
        }
        Some(targets)
    }

    fn target(&mut self, node: &Node) -> Option<(Subset, Option<u32>)> {
        let fields = self.block.fields(node, "{tags: {version: 1.0}, weight: 100}")?;
        let (mut found, mut weight) = (Tags::new(), None);
        for (name, node) in fields {
            match name {
                "tags" => found = tags(self.block, name, node)?,
                "weight" => {
                    let share = |text: &str| text.parse().ok().filter(|share| *share <= WHOLE);
                    let allowed = "a whole number from 0 to 100";
                    weight = Some(self.block.scalar(name, node, allowed, share)?);
                }
                _ => self.block.unknown(name, node, "tags and weight"),
            }
        }
        Some((Subset::of_tags(found), weight))
    }
}

/// Names and values.
pub(super) fn tags(block: &mut Block<'_, '_>, name: &str, node: &Node) -> Option<Tags> {
    let mut found = Tags::new();
    for (tag, node) in block.fields(node, &format!("{name}: {{version: 1.0}}"))? {
        let Some(text) = node.content.text() else {
            block.error(node.line, format!("{name}.{tag}: write one value"));
            return None;
        };
        found.insert(tag.into(), text.into());
    }
    Some(found)
}
