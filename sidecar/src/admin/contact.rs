//! How it goes with a server that is asked again and again: service-center, a control plane, a
//! configuration center.

use std::time::SystemTime;

use serde::Serialize;

use super::time::{seconds_since, timestamp};

/// Whether it answers.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contact {
    /// `starting`, `connected`, or `stale`: what it last said is used.
    state: &'static str,
    /// Since when it does not answer, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<f64>,
    /// What fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Contact {
    /// It has not answered yet, nor failed to.
    pub(super) fn starting() -> Self {
        Self { state: "starting", ..Self::default() }
    }

    /// It answers.
    pub(super) fn connected() -> Self {
        Self { state: "connected", ..Self::default() }
    }

    /// It has not answered since then, because of `error`.
    pub(super) fn stale(since: SystemTime, error: String) -> Self {
        Self {
            state: "stale",
            stale_since: Some(timestamp(since)),
            stale_seconds: Some(seconds_since(since, SystemTime::now())),
            error: Some(error),
        }
    }
}
