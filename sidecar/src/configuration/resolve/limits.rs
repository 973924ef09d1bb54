//! Limits of callers, and of requests that look alike.

use std::collections::BTreeMap;

use mesh::Rate;
use mesh::route::RequestMatch;

use super::Reader;
use super::block::Block;
use super::routes::Templates;
use super::terms::rate;
use crate::settings::LimitGroup;

const CALLERS: &str = "servicecomb.flowcontrol.Provider.qps.limit";
const GROUPS: &str = "servicecomb.rateLimiting";
/// The word for requests that no `match` names.
const UNMARKED: &str = "none";

/// How many requests callers may make, by their names.
pub(super) fn callers(reader: &Reader<'_>, in_chain: bool) -> BTreeMap<String, Rate> {
    let enabled = reader.flag(&["servicecomb.flowcontrol.Provider.qps.enabled"]).unwrap_or(true);
    if !enabled || !in_chain {
        return BTreeMap::new();
    }
    let limits = reader.values.below(CALLERS);
    limits.filter_map(|(name, entry)| Some((name.to_owned(), rate(entry.text()?)?))).collect()
}

/// `rateLimiting`: how many requests there may be of those that a `match` names.
pub(super) fn groups(reader: &mut Reader<'_>, templates: &Templates) -> Vec<LimitGroup> {
    let values = reader.values;
    let mut groups = Vec::new();
    let mut read = |name: &str, entry| {
        let (mut block, node) = Block::open(reader, entry)?;
        let (mut found, mut per_second, mut burst) = (None, None, None);
        for (field, node) in block.fields(&node, "{match: NAME, rate: 10, burst: 1}")? {
            let number = |text: &str| text.parse::<u32>().ok();
            match field {
                "match" => {
                    let matches = |text: &str| matches(templates, text);
                    found =
                        Some(block.scalar(field, node, "the name of a match, or none", matches)?);
                }
                "rate" => per_second = Some(block.scalar(field, node, "a whole number", number)?),
                "burst" => burst = Some(block.scalar(field, node, "a whole number", number)?),
                "name" => {}
                _ => block.unknown(field, node, "match, rate and burst"),
            }
        }
        let (Some((matches, inverted)), Some(per_second)) = (found, per_second) else {
            block.error(
                node.line,
                "match and rate are needed: which requests, and how many a second",
            );
            return None;
        };
        let rate = Rate::per_second(per_second);
        let rate = Rate { burst: burst.unwrap_or(rate.burst), ..rate };
        Some(LimitGroup { name: name.to_owned(), matches, inverted, rate })
    };
    for (name, entry) in values.below(GROUPS) {
        groups.extend(read(name, entry));
    }
    groups
}

/// The requests that a `match` names, and whether it is about all others.
fn matches(templates: &Templates, name: &str) -> Option<(Vec<RequestMatch>, bool)> {
    if name == UNMARKED {
        return Some((templates.all(), true));
    }
    templates.matches(name).map(|matches| (matches.to_vec(), false))
}
