//! Why an object of a file gets a sidecar or none: every question, in order.

use serde::Serialize;
use serde_json::Value;

use super::error::ManifestError;
use super::objects::objects;
use super::settings::Settings;
use super::value;
use crate::outcome::Outcome;

/// What [`crate::explain`] says of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `deployment/web`.
    pub object: String,
    /// Namespace it would be created in.
    pub namespace: String,
    /// What is not against a sidecar, in the order of the questions; empty for an object without
    /// a pod.
    pub passed: Vec<Answer>,
    /// `injected`, or the word of the reason; `no_pod` for an object without a pod.
    pub decision: String,
    /// What that means for this object.
    pub detail: String,
    /// Advice.
    pub warnings: Vec<String>,
}

/// A question that found nothing against a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The reason that does not apply, for example `host_network`.
    pub reason: &'static str,
    /// What was found instead, for example `has a network of its own`.
    pub found: &'static str,
}

/// Explains every object of a file.
pub fn explain(text: &str, settings: &Settings) -> Result<Vec<Explanation>, ManifestError> {
    let mut all = Vec::new();
    for (_, document) in value::read(text)?.documents {
        for object in objects(&document, &settings.namespace) {
            let mut explanation = Explanation {
                object: object.label(),
                namespace: object.request.namespace.clone(),
                passed: Vec::new(),
                decision: "no_pod".to_owned(),
                detail: "holds no pod".to_owned(),
                warnings: object.warnings(&document),
            };
            if let Some(pod) = object.pod_in(&document) {
                let (passed, outcome) = crate::explain(pod, &object.request, &settings.policy);
                let answer = |r: crate::Reason| Answer { reason: r.as_str(), found: r.absence() };
                explanation.passed = passed.into_iter().map(answer).collect();
                outcome.word().clone_into(&mut explanation.decision);
                explanation.detail = detail(&outcome, pod);
                explanation.warnings.extend_from_slice(outcome.warnings());
            }
            all.push(explanation);
        }
    }
    Ok(all)
}

fn detail(outcome: &Outcome, pod: &Value) -> String {
    match outcome {
        Outcome::Skipped(skipped) => skipped.message.clone(),
        Outcome::Rejected(rejected) => rejected.message.clone(),
        Outcome::Injected(injected) => {
            let summary = &injected.summary;
            let place = if summary.native {
                "as a native sidecar (init container with restartPolicy: Always)"
            } else {
                "as a plain container"
            };
            let stale = if crate::uninject(pod).is_some() { "anew or repaired, " } else { "" };
            let variables = match summary.intercepted.as_slice() {
                [] => "no proxy variables".to_owned(),
                containers => format!("proxy variables in {}", containers.join(", ")),
            };
            format!("{stale}template {}, {place}, {variables}", summary.template)
        }
    }
}
