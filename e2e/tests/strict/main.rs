//! The overlay `strict`: no pod that asked starts without its sidecar, and whatever the injector
//! would leave without one starts as before.

mod names;
mod outage;
mod pods;
mod verdicts;

/// The folder that `kubectl apply -k` takes.
const OVERLAY: &str = "manifests/overlays/strict";
