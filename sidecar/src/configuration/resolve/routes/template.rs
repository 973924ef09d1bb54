//! What rules refer to: `sourceTemplate` of the first generation, `servicecomb.match` of the second.

use std::collections::BTreeMap;

use mesh::route::RequestMatch;

use super::condition;
use super::rule::{About, tags};
use crate::configuration::resolve::Reader;
use crate::configuration::resolve::block::Block;
use crate::configuration::values::Entry;
use crate::configuration::yaml::{Content, Node};
use crate::settings::Mark;

const TEMPLATES: &str = "servicecomb.sourceTemplate";
const MATCHES: &str = "servicecomb.match";

/// By name.
#[derive(Debug, Default)]
pub(in crate::configuration::resolve) struct Templates(BTreeMap<String, About>);

impl Templates {
    pub(in crate::configuration::resolve) fn read(reader: &mut Reader<'_>) -> Self {
        let mut templates = Self::default();
        for (name, entry, node) in nested(reader, TEMPLATES) {
            let Some((mut block, opened)) = Block::open(reader, entry) else { continue };
            let node = node.unwrap_or(opened);
            if let Some(about) = template(&mut block, &node) {
                templates.0.insert(name, about);
            }
        }
        for (name, entry, node) in nested(reader, MATCHES) {
            let Some((mut block, opened)) = Block::open(reader, entry) else { continue };
            let node = node.unwrap_or(opened);
            if let Some(matches) = matches(&mut block, &name, &node) {
                templates.0.insert(name, About { matches, ..About::default() });
            }
        }
        templates
    }

    pub(super) fn get(&self, name: &str) -> Option<&About> {
        self.0.get(name)
    }

    /// The requests that a `match` names.
    pub(in crate::configuration::resolve) fn matches(&self, name: &str) -> Option<&[RequestMatch]> {
        self.0.get(name).map(|about| about.matches.as_slice())
    }

    /// What is to be told to others, with the requests that are marked so.
    pub(in crate::configuration::resolve) fn marks(&self) -> Vec<Mark> {
        let mark = |(name, about): (&String, &About)| {
            let marked = about.matches.iter().filter(|one| one.mark.is_some());
            let matches: Vec<_> = marked.cloned().collect();
            (!matches.is_empty()).then(|| Mark { name: name.clone(), matches })
        };
        self.0.iter().filter_map(mark).collect()
    }

    /// The requests that any of them names.
    pub(in crate::configuration::resolve) fn all(&self) -> Vec<RequestMatch> {
        self.0.values().flat_map(|about| about.matches.iter().cloned()).collect()
    }
}

/// What stands below a key, by the first word. What was nested in a file was taken to pieces when
/// it was read: it is put together again, with the first of its places.
fn nested<'r>(reader: &Reader<'r>, prefix: &str) -> Vec<(String, &'r Entry, Option<Node>)> {
    let mut found: Vec<(String, &'r Entry, Option<Node>)> = Vec::new();
    let values = reader.values;
    for (key, entry) in values.below(prefix) {
        let Some((name, rest)) = key.split_once('.') else {
            found.push((key.to_owned(), entry, None));
            continue;
        };
        if found.last().is_none_or(|(last, ..)| last != name) {
            let node = Node { line: 1, content: Content::Map(Vec::new()) };
            found.push((name.to_owned(), entry, Some(node)));
        }
        if let Some((.., Some(node))) = found.last_mut() {
            let path: Vec<&str> = rest.split('.').collect();
            insert(node, &path, entry);
        }
    }
    found
}

fn insert(node: &mut Node, path: &[&str], entry: &Entry) {
    let Content::Map(fields) = &mut node.content else { return };
    let [word, rest @ ..] = path else { return };
    let line = 1;
    if rest.is_empty() {
        let content = entry.content.clone();
        fields.push(((*word).to_owned(), line, Node { line, content }));
        return;
    }
    if fields.last().is_none_or(|(last, ..)| last != word) {
        let below = Node { line, content: Content::Map(Vec::new()) };
        fields.push(((*word).to_owned(), line, below));
    }
    if let Some((.., below)) = fields.last_mut() {
        insert(below, rest, entry);
    }
}

fn template(block: &mut Block<'_, '_>, node: &Node) -> Option<About> {
    let (mut about, mut own) = (About::default(), RequestMatch::default());
    for (name, node) in block.fields(node, "{source: SERVICE, httpHeaders: {…}}")? {
        match name {
            "source" => {
                about.caller.service =
                    Some(block.scalar(name, node, "a service", |text| Some(text.into()))?);
            }
            "sourceTags" => about.caller.tags = tags(block, name, node)?,
            _ => {
                if !condition::field(block, &mut own, name, node)? {
                    block.unknown(name, node, "source, sourceTags and httpHeaders");
                }
            }
        }
    }
    if own != RequestMatch::default() {
        about.matches.push(own);
    }
    Some(about)
}

/// The requests that any entry of the `match` called `mark` names.
fn matches(block: &mut Block<'_, '_>, mark: &str, node: &Node) -> Option<Vec<RequestMatch>> {
    let mut found = Vec::new();
    for (name, node) in block.fields(node, "matches: [{apiPath: …, method: …, headers: …}]")?
    {
        if name != "matches" {
            block.unknown(name, node, "matches");
            continue;
        }
        for item in block.items(node, "matches: a list")? {
            let mut one = RequestMatch::default();
            for (name, node) in block.fields(item, "{apiPath: …, method: …, headers: …}")? {
                match name {
                    // For people.
                    "name" => {}
                    "trafficMarkPolicy" => {
                        let policy = |text: &str| match text {
                            "once" => Some(true),
                            "perService" => Some(false),
                            _ => None,
                        };
                        let once = block.scalar(name, node, "once or perService", policy)?;
                        one.mark = once.then(|| mark.into());
                    }
                    _ => {
                        if !condition::field(block, &mut one, name, node)? {
                            block.unknown(
                                name,
                                node,
                                "name, apiPath, method, headers and trafficMarkPolicy",
                            );
                        }
                    }
                }
            }
            found.push(one);
        }
    }
    Some(found)
}
