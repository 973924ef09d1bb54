//! What a configuration center holds for us, and how it does, in `/v1/mesher/status` and
//! `/v1/mesher/config`.

use discovery::center::{Held, Layer};
use serde::Serialize;

use super::configuration::Fault;
use super::contact::Contact;
use super::time::timestamp;
use crate::configuration::Refused;

/// The center.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Center {
    /// What it is, and where.
    name: String,
    #[serde(flatten)]
    contact: Contact,
    /// When all of it was last answered for, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
    /// The most general first: of two that name one key the later wins.
    layers: Vec<OneLayer>,
    /// What it said last that was not put in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refused: Option<Refusal>,
}

/// What is held for some: for all of an application, for a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OneLayer {
    name: String,
    /// As the center calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    key_count: usize,
    /// The keys, as they are written there. Which of them are in force stands in `values`. Not in
    /// `/v1/mesher/status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// When it was last answered for, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    /// RFC 3339.
    at: String,
    /// Whether that is what it still says.
    current: bool,
    /// What was wrong with it.
    errors: Vec<Fault>,
}

impl Center {
    /// With `keys`, each layer names its own.
    pub(super) fn of(held: &Held, refused: Option<&Refused>, keys: bool) -> Self {
        Self {
            name: held.center.to_string(),
            contact: contact(held),
            last_success: held.last_success().map(timestamp),
            layers: held.layers.iter().map(|layer| OneLayer::of(layer, keys)).collect(),
            last_refused: refused.map(|refused| Refusal {
                at: timestamp(refused.at),
                current: refused.current,
                errors: refused.faults.iter().map(Fault::of).collect(),
            }),
        }
    }
}

impl OneLayer {
    fn of(layer: &Layer, keys: bool) -> Self {
        let names = || layer.items.iter().map(|item| item.key.clone()).collect();
        Self {
            name: layer.name.to_string(),
            revision: layer.revision.as_ref().map(ToString::to_string),
            key_count: layer.items.len(),
            keys: keys.then(names),
            last_success: layer.last_success.map(timestamp),
        }
    }
}

fn contact(held: &Held) -> Contact {
    match (held.stale(), held.last_success()) {
        (Some((since, error)), _) => Contact::stale(*since, error.clone()),
        (None, Some(_)) => Contact::connected(),
        (None, None) => Contact::starting(),
    }
}
