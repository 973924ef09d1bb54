//! What there is on the admin port: on `/debug`, on `/` for who wants no page, and for whoever asks
//! for something else.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde_json::json;

use super::page;
use crate::shared::Shared;

/// Something that can be asked for.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// What stands in braces is the caller's to fill in.
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    /// Whether it also answers on the addresses of the pod, whatever the settings say.
    pub(super) everywhere: bool,
}

const fn get(path: &'static str, everywhere: bool, about: &'static str) -> Endpoint {
    Endpoint { method: "GET", path, about, everywhere }
}

/// All of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/", false, "the live page, for browsers; this list for others"),
    get("/debug", false, "this list"),
    get("/healthz", true, "200 while the listeners are open"),
    get("/readyz", true, "200 while serving, 503 while draining"),
    get("/metrics", true, "what is counted, for Prometheus"),
    get("/v1/mesher/status", false, "who, since when, phase, listeners, discovery, certificates"),
    get(
        "/v1/mesher/services",
        false,
        "services: ?search= ?only=used|trouble ?after= ?limit= ?instances=",
    ),
    get("/v1/mesher/services/{app}/{service}", false, "one service with all of its instances"),
    get("/v1/mesher/connections", false, "what each worker has open"),
    get("/v1/mesher/discovery", false, "where services are learned of, and how that goes"),
    get(
        "/v1/mesher/config",
        false,
        "every value in force and where it came from, and what is wrong",
    ),
    get("/v1/mesher/health", false, "green, or red with 500 where discovery or registration fails"),
    get("/v1/mesher/version", false, "the version"),
    get("/v1/mesher/metrics", true, "as /metrics"),
    get("/v1/mesher/routeRule/{service}", false, "what router.yaml says of a service"),
    Endpoint {
        method: "POST",
        path: "/drain",
        about: "stop being ready, and answer when others have had time to learn of it",
        everywhere: false,
    },
];

/// What answers here: everything, or what everybody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) all: bool,
}

impl Seen {
    fn endpoints(self) -> impl Iterator<Item = &'static Endpoint> {
        ENDPOINTS.iter().filter(move |endpoint| self.all || endpoint.everywhere)
    }

    fn text(self) -> String {
        let mut text = String::new();
        for Endpoint { method, path, about, .. } in self.endpoints() {
            let _ = writeln!(text, "{method:<4}  {path:<38}  {about}");
        }
        if !self.all {
            text += "\nThe rest answers on loopback: kubectl port-forward POD 30102, then \
                     http://127.0.0.1:30102/\n";
        }
        text
    }
}

/// Whether the client says that it takes `kind`.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let lines = headers.get_all(ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|part| {
        part.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(kind))
    })
}

/// `/` where everything answers: the page for browsers.
pub(super) async fn root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut response = if accepts(&headers, "text/html") {
        page::page()
    } else {
        list(Seen { all: true }, &shared, &headers)
    };
    response.headers_mut().insert(VARY, ACCEPT.into());
    response
}

/// The list, as JSON for who asks for that.
pub(super) fn list(seen: Seen, shared: &Shared, headers: &HeaderMap) -> Response {
    if accepts(headers, "application/json") {
        let endpoints: Vec<_> = seen.endpoints().collect();
        return Json(json!({"endpoints": endpoints})).into_response();
    }
    let service = shared.settings().identity.service.clone();
    let version = env!("CARGO_PKG_VERSION");
    format!("mesher {version} beside {service}\n\n{}", seen.text()).into_response()
}

/// What is not there, and what is.
pub(super) fn missing(seen: Seen, request: &Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let status = StatusCode::NOT_FOUND;
    if accepts(request.headers(), "application/json") {
        let endpoints: Vec<_> = seen.endpoints().collect();
        let body = json!({"error": format!("there is no {path}"), "endpoints": endpoints});
        return (status, Json(body)).into_response();
    }
    (status, format!("there is no {path} here, but\n\n{}", seen.text())).into_response()
}

/// What is there, and wants to be asked otherwise.
pub(super) async fn wrong_method(request: Request) -> Response {
    let (asked, path) = (request.method(), request.uri().path());
    let path: String = path.chars().take(200).collect();
    let wanted = if path == "/drain" { "POST" } else { "GET" };
    let message = format!("{path} is asked with {wanted}, not with {asked}\n");
    (StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::ACCEPT};

    use super::accepts;

    #[test]
    fn who_takes_html() {
        for (line, html) in [
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), true),
            (Some("application/json, TEXT/HTML;q=0.5"), true),
            (Some("*/*"), false),
            (Some("text/htmlx"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(line) = line {
                headers.insert(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(accepts(&headers, "text/html"), html, "{line:?}");
        }
    }
}
