//! `/v1/mesher/config`: every value in force and where it came from, as `mesher config dump` shows
//! it, and how the files on the disk stand to it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use serde_json::Value;

use super::center::Center;
use super::time::timestamp;
use super::xds::Xds;
use crate::configuration::{Problem, Reload};
use crate::shared::Shared;

/// The configuration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    /// Whether the files are followed; without, there is nothing here.
    followed: bool,
    /// When the files were last found to be in order and put in force, RFC 3339.
    loaded_at: Option<String>,
    /// Changes that were put in force.
    taken_over: u64,
    /// Changes that were refused: the last good configuration stayed in force.
    refused: u64,
    /// What of the files is in force after a restart only, though its values stand here already.
    restart_needed: Vec<&'static str>,
    /// The configuration center, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    center: Option<Center>,
    /// How it goes with Istio's control plane, where that is asked, as in `/v1/mesher/discovery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    xds: Option<Xds>,
    /// What is wrong with the files on the disk, or with what the center says; none: they are what
    /// is in force.
    errors: Vec<Fault>,
    /// What the files in force were warned of.
    warnings: Vec<Fault>,
    /// `{"key": {"value": …, "origin": "…"}}`; secrets are `***`.
    values: Value,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault {
    severity: String,
    /// File and line, variable or flag.
    origin: Option<String>,
    key: String,
    message: String,
}

/// In how few words it can be said.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    loaded_at: Option<String>,
    /// Problems for which the files on the disk are not in force.
    errors: usize,
    warnings: usize,
    restart_needed: Vec<&'static str>,
    /// The configuration center, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    center: Option<Center>,
    /// It grows with whatever changes in `/v1/mesher/config`.
    generation: u64,
}

/// `/v1/mesher/config`
pub(super) async fn configuration(State(shared): State<Arc<Shared>>) -> Json<Configuration> {
    let reload = reload(&shared);
    let followed = reload.is_some();
    let reload = reload.unwrap_or_default();
    Json(Configuration {
        followed,
        loaded_at: reload.last_success.map(timestamp),
        taken_over: reload.taken_over,
        refused: reload.refused,
        center: center(&shared, &reload, true),
        xds: shared.xds.get().map(|client| Xds::of(client, &shared.plans.snapshot())),
        errors: reload.faults.iter().map(Fault::of).collect(),
        warnings: reload.hints.iter().map(Fault::of).collect(),
        values: reload.values.to_json(),
        restart_needed: reload.restart_needed,
    })
}

fn reload(shared: &Shared) -> Option<Reload> {
    shared.configuration.get().map(|reload| reload.borrow().clone())
}

fn center(shared: &Shared, reload: &Reload, keys: bool) -> Option<Center> {
    let refused = reload.center_refused.as_ref();
    shared.center.get().map(|held| Center::of(&held.borrow(), refused, keys))
}

impl Summary {
    pub(super) fn of(shared: &Shared) -> Self {
        let reload = reload(shared).unwrap_or_default();
        let center = center(shared, &reload, false);
        Self {
            loaded_at: reload.last_success.map(timestamp),
            errors: reload.faults.len(),
            warnings: reload.hints.len(),
            restart_needed: reload.restart_needed,
            center,
            generation: reload.generation,
        }
    }
}

impl Fault {
    pub(super) fn of(problem: &Problem) -> Self {
        Self {
            severity: problem.severity.to_string(),
            origin: problem.origin.as_ref().map(ToString::to_string),
            key: problem.key.clone(),
            message: problem.message.clone(),
        }
    }
}
