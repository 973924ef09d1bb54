//! `routeRule` of router.yaml: for each service a list of rules, nested (the first generation), or
//! as a text that is YAML itself (the second); and `darklaunch`, which says the same in another way.

mod condition;
mod dark_launch;
mod rule;
mod shown;
mod template;

use std::collections::BTreeMap;

use mesh::Tags;
use mesh::route::Rule;

use self::rule::Rules;
pub(super) use self::template::Templates;
use super::Reader;
use super::block::Block;
use crate::configuration::values::Entry;
use crate::configuration::yaml::{Content, Node};
use crate::settings::{Identity, RouteRules};

const RULES: &str = "servicecomb.routeRule";
const DARK_LAUNCH: &str = "servicecomb.darklaunch.policy";

/// The rules of services, by their names.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// As they are followed.
    pub(super) rules: BTreeMap<String, Vec<Rule>>,
    /// As they are shown.
    pub(super) shown: BTreeMap<String, RouteRules>,
}

/// Who we are, to rules that are about some callers.
struct Us<'a> {
    service: &'a str,
    tags: Tags,
}

impl<'a> Us<'a> {
    fn new(identity: &'a Identity) -> Self {
        let properties = identity.service_properties.iter().chain(&identity.instance_properties);
        let mut tags: Tags =
            properties.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        tags.insert("version".into(), identity.version.as_str().into());
        tags.insert("app".into(), identity.app.as_str().into());
        Self { service: &identity.service, tags }
    }
}

/// Reads all rules. Without `router` in the chain, as `in_chain` says, none is followed.
pub(super) fn routes(
    reader: &mut Reader<'_>,
    identity: &Identity,
    templates: &Templates,
    in_chain: bool,
) -> Routes {
    let us = Us::new(identity);
    let values = reader.values;
    let mut routes = Routes::default();
    for (service, entry) in values.below(RULES) {
        let Some((mut block, node)) = Block::open(reader, entry) else { continue };
        let mut rules = Rules { block: &mut block, templates, us: &us };
        if let Some(read) = rules.list(&node) {
            routes.take(service, &node, read);
        }
    }
    for (service, entry) in values.below(DARK_LAUNCH) {
        if routes.rules.contains_key(service) {
            let message = format!("has no effect: routeRule.{service} says where requests go");
            reader.warning(entry, message);
            continue;
        }
        let Some((mut block, node)) = Block::open(reader, entry) else { continue };
        let Some(node) = dark_launch::rules(&mut block, &node) else { continue };
        let mut rules = Rules { block: &mut block, templates, us: &us };
        if let Some(read) = rules.list(&node) {
            routes.take(service, &node, read);
        }
    }
    if !in_chain && !routes.rules.is_empty() {
        not_in_chain(reader);
        routes.rules.clear();
    }
    routes
}

impl Routes {
    fn take(&mut self, service: &str, node: &Node, rules: Vec<Rule>) {
        let shown = match &node.content {
            Content::List(items) => {
                items.iter().map(|item| shown::shown("", &item.content)).collect()
            }
            _ => Vec::new(),
        };
        self.shown.insert(service.to_owned(), shown);
        self.rules.insert(service.to_owned(), rules);
    }
}

fn not_in_chain(reader: &mut Reader<'_>) {
    let values = reader.values;
    let mut entries = [RULES, DARK_LAUNCH].into_iter().flat_map(|prefix| values.below(prefix));
    let first: Option<(_, &Entry)> = entries.next();
    if let Some((_, entry)) = first {
        reader.warning(entry, "has no effect: router is not in handler.chain.Consumer.outgoing");
    }
}
