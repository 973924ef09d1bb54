//! The manifests as the files say them, without what the API server adds.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::installation::checkout;
use crate::kubectl::Kubectl;

/// The objects that `kubectl apply -k FOLDER` would apply, with `folder` relative to the checkout.
pub fn objects(kubectl: Kubectl<'_>, folder: &str) -> Result<Vec<Value>> {
    let printed = kubectl.run(&format!("kustomize {}", checkout(folder).display()))?.stdout;
    let line = "create --dry-run=client --validate=false -o json -f -";
    let printed = kubectl.run_with(line, &printed)?.stdout;
    let documents = serde_json::Deserializer::from_str(&printed).into_iter();
    Ok(documents.collect::<Result<_, _>>()?)
}

/// The only object of `kind` in `folder`.
pub fn object(kubectl: Kubectl<'_>, folder: &str, kind: &str) -> Result<Value> {
    let mut found = objects(kubectl, folder)?;
    found.retain(|object| object["kind"] == kind);
    let only = found.pop().filter(|_| found.is_empty());
    only.with_context(|| format!("{folder} does not hold one {kind}"))
}
