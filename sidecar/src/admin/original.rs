//! `/v1/mesher/`: the bodies of the original, for whoever reads them.
//!
//! Its `version` also named go-chassis, which is not in here. Its `health` came in two kinds: the
//! older one went red, with 500, when the application was not to be found in the registry; the
//! newer one was always green. Ours is the older: who wants to know no more than whether the proxy
//! serves has `/healthz`, which a registry can't make fail.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};

use crate::settings::{Discovery, Settings};
use crate::shared::Shared;

/// What the build was made of, where whoever built it said so.
const COMMIT: Option<&str> = option_env!("MESHER_COMMIT");
/// Seconds since 1970. The time of the build itself would make each build another one; see
/// <https://reproducible-builds.org/specs/source-date-epoch/>.
const BUILT: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// `/v1/mesher/version`
pub(super) async fn version() -> Json<Value> {
    Json(Value::Object(version_of(env!("CARGO_PKG_VERSION"), COMMIT, BUILT)))
}

fn version_of(version: &str, commit: Option<&str>, built: Option<&str>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("version".to_owned(), json!(version));
    if let Some(commit) = commit.filter(|commit| !commit.is_empty()) {
        body.insert("commit".to_owned(), json!(commit));
    }
    let built = built.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    if let Some(built) = built.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) {
        body.insert(
            "built".to_owned(),
            json!(humantime::format_rfc3339_seconds(built).to_string()),
        );
    }
    body
}

/// `/v1/mesher/health`
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let settings = shared.settings();
    let identity = &settings.identity;
    let mut body = json!({
        "serviceName": identity.service,
        "version": identity.version,
        "status": "green",
        "connectedMonitoring": false,
    });
    let Some(error) = unwell(&shared, &settings) else { return Json(body).into_response() };
    body["status"] = json!("red");
    body["error"] = json!(error);
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

/// Why others do not find the application, or the application others.
pub(super) fn unwell(shared: &Shared, settings: &Settings) -> Option<String> {
    if let discovery::State::Stale { error, .. } = shared.plans.state() {
        return Some(error);
    }
    let Discovery::ServiceCenter(terms) = &settings.discovery else { return None };
    let standing = shared.standing.get().filter(|_| terms.register)?.borrow();
    let missing = if standing.service_id.is_none() {
        "the service is not registered"
    } else if standing.status.is_none() && settings.provider_addresses().next().is_some() {
        "the instance is not registered"
    } else {
        return standing.error.clone();
    };
    Some(standing.error.as_ref().map_or(missing.to_owned(), |why| format!("{missing}: {why}")))
}

/// `/v1/mesher/routeRule/{service}`
pub(super) async fn route_rules(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
) -> Response {
    let settings = shared.settings();
    let Some(rules) = settings.route_rules.get(&service) else {
        let message = format!("{service} routeRule not found");
        return (StatusCode::NOT_FOUND, Json(message)).into_response();
    };
    // JSON under this name: that is what clients of the original expect.
    ([("content-type", "text/vnd.yaml")], Json(rules).into_response().into_body()).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::version_of;

    #[test]
    fn a_version_says_what_the_build_was_told() {
        for (commit, built, body) in [
            (None, None, json!({"version": "1.2.3"})),
            (Some(""), Some("soon"), json!({"version": "1.2.3"})),
            (
                Some("c0ffee"),
                Some("1700000000"),
                json!({"version": "1.2.3", "commit": "c0ffee", "built": "2023-11-14T22:13:20Z"}),
            ),
            (None, Some("18446744073709551615"), json!({"version": "1.2.3"})),
        ] {
            assert_eq!(Value::Object(version_of("1.2.3", commit, built)), body);
        }
    }
}
