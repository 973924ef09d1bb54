//! Requests as the API server sends them.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::injector::Injector;
use serde_json::{Value, json};

/// A pod that asks for a sidecar, in both versions of the API.
pub(crate) const V1: &[u8] = include_bytes!("data/request-v1.json");
pub(crate) const V1BETA1: &[u8] = include_bytes!("data/request-v1beta1.json");
/// A pod that refuses one.
pub(crate) const REFUSING: &[u8] = include_bytes!("data/request-no.json");
/// Its `request.uid`.
pub(crate) const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

/// One injector for all tests that leave it as it is.
pub(crate) fn shared() -> Result<&'static Injector> {
    static SHARED: OnceLock<Result<Injector, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| Injector::start("").map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

/// The request [`V1`], changed.
pub(crate) fn v1(change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
    let mut review: Value = serde_json::from_slice(V1)?;
    change(&mut review);
    Ok(serde_json::to_vec(&review)?)
}

/// The request [`V1`] for a pod with these annotations.
pub(crate) fn annotated(annotations: Value) -> Result<Vec<u8>> {
    v1(|review| review["request"]["object"]["metadata"]["annotations"] = annotations)
}

/// The `response` of the injector to `body`, which it answers with 200.
pub(crate) fn response(injector: &Injector, body: &[u8]) -> Result<Value> {
    let reply = injector.review(body)?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let review = reply.json()?;
    review.get("response").cloned().with_context(|| format!("no response in {review}"))
}

/// The operations of the patch in `response`; `None` where it has none.
pub(crate) fn patch(response: &Value) -> Result<Option<Vec<Value>>> {
    let Some(patch) = response.get("patch") else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(patch.as_str().context("patch is no string")?)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// A pod with nothing that concerns the injector.
pub(crate) fn plain_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "orders-"},
        "spec": {"containers": [{"name": "app", "image": "orders:1"}]},
    })
}
