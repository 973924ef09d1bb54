//! What a configuration center says.

use std::sync::Arc;

use discovery::center::{Held, Item};

use super::files::Flattening;
use super::keys::{self, Effect, File, Key};
use super::problem::{Problems, Severity};
use super::spelling::canonical;
use super::values::{Origin, Rank, Values};
use super::yaml::{self, Content, Node};

/// Adds what `held` says, above everything else.
pub(super) fn add(held: &Held, values: &mut Values, problems: &mut Problems) {
    // Of one rank the earlier wins: from the particular to the general.
    for layer in held.layers.iter().rev() {
        let origin = Origin::Center(Arc::clone(&held.center), Arc::clone(&layer.name));
        for item in layer.items.iter().rev() {
            one(item, &origin, values, problems);
        }
    }
}

fn one(item: &Item, origin: &Origin, values: &mut Values, problems: &mut Problems) {
    let key = canonical(&item.key);
    let mut flat = Flattening {
        origin: origin.clone(),
        rank: Rank::Center,
        variables: None,
        values,
        problems,
    };
    let as_it_is = keys::find(&key).is_some();
    if as_it_is || !item.yaml {
        // It holds keys for everybody: those of others mean nothing here.
        if as_it_is || is_ours(&key) {
            let content = Content::Scalar(item.value.clone());
            flat.add(item.key.clone(), 0, Node { line: 1, content });
        }
        return;
    }
    // A document: what stands below the key, or a file of which the key is the name.
    let below = keys::leads_somewhere(&key);
    match yaml::read(&item.value) {
        Ok(Node { content: Content::Map(entries), .. }) => {
            for (name, line, node) in entries {
                if below {
                    flat.add(format!("{}.{name}", item.key), line, node);
                } else if is_ours(&canonical(&name)) {
                    flat.add(name, line, node);
                }
            }
        }
        Ok(_) if !below => {}
        Ok(_) => {
            let message = "holds no keys: write key: value";
            problems.add(Severity::Error, Some(origin), &item.key, message);
        }
        Err(fault) if below => {
            let message = format!("line {}: {}", fault.line, fault.problem);
            problems.add(Severity::Error, Some(origin), &item.key, message);
        }
        Err(_) => {}
    }
}

/// Why a center has no say in a key.
pub(super) fn refusal(row: &Key) -> Option<&'static str> {
    match (row.file, row.effect) {
        (File::Tls | File::Auth, _) => {
            Some("has no effect from here: what secures connections is said by files alone")
        }
        (_, Effect::Restart) => {
            Some("has no effect from here: it is read at the start, so write it into a file")
        }
        _ => None,
    }
}

/// Whether a key begins as those of our files do.
fn is_ours(key: &str) -> bool {
    let root = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
    let ours = root(key);
    keys::all().any(|row| root(row.pattern) == ours)
}
