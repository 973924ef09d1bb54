//! What a configuration center holds for us, and how it does, in `/v1/mesher/config`.

use std::time::SystemTime;

use discovery::center::{Held, Layer};
use serde::Serialize;

use super::time::{seconds_since, timestamp};

/// The center.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Center {
    /// What it is, and where.
    name: String,
    /// `starting`, `connected`, or `stale`: what it last said is in force.
    state: &'static str,
    /// When all of it was last answered for, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
    /// Since when it does not answer, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<f64>,
    /// What fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The most general first: of two that name one key the later wins.
    layers: Vec<OneLayer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OneLayer {
    name: String,
    /// As the center calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// The keys, as they are written there. Which of them are in force stands in `values`.
    keys: Vec<String>,
    /// When it was last answered for, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
}

impl Center {
    pub(super) fn of(held: &Held) -> Self {
        let stale = held.stale();
        Self {
            name: held.center.to_string(),
            state: state(held),
            last_success: held.last_success().map(timestamp),
            stale_since: stale.map(|(since, _)| timestamp(*since)),
            stale_seconds: stale.map(|(since, _)| seconds_since(*since, SystemTime::now())),
            error: stale.map(|(_, error)| error.clone()),
            layers: held.layers.iter().map(OneLayer::of).collect(),
        }
    }
}

impl OneLayer {
    fn of(layer: &Layer) -> Self {
        Self {
            name: layer.name.to_string(),
            revision: layer.revision.as_ref().map(ToString::to_string),
            keys: layer.items.iter().map(|item| item.key.clone()).collect(),
            last_success: layer.last_success.map(timestamp),
        }
    }
}

/// `starting`, `connected` or `stale`.
pub(super) fn state(held: &Held) -> &'static str {
    match (held.stale(), held.last_success()) {
        (Some(_), _) => "stale",
        (None, Some(_)) => "connected",
        (None, None) => "starting",
    }
}
