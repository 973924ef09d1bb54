//! What an operator's browser may be made to do.
//!
//! `kubectl port-forward` puts this port on the loopback of a machine where a browser runs, and any
//! page in that browser can send requests there. Three things keep such a page out:
//!
//! - **Host.** A page of `evil.example` whose name is made to point at 127.0.0.1 (DNS rebinding)
//!   would have the same origin as what it asks for, and read it. But its requests carry its name,
//!   and on loopback only addresses and `localhost` are answered.
//! - **Sec-Fetch-Site and Origin.** A browser says where a request comes from: nothing that another
//!   site asks for is answered, but for the page itself, by a link. So no other page can have
//!   `/drain` called.
//! - **Headers of responses**: no other site may frame the page or take its answers in, and nothing
//!   is kept.
//!
//! Programs that are no browsers send none of these headers and are answered as ever.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Reach;

const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    /// It is for a name that may be anybody's.
    Host(String),
    /// Another site asks for it.
    Site,
}

/// Answers what may be asked.
pub(super) async fn check(State(reach): State<Reach>, request: Request, next: Next) -> Response {
    match judge(reach, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(Refused::Host(host)) => {
            tracing::debug!(host, "the admin port does not answer to this name");
            let message = format!(
                "the admin port is not called {host:?}: use localhost or an address, as in \
                 http://127.0.0.1:30102/\n"
            );
            (StatusCode::FORBIDDEN, message).into_response()
        }
        Err(Refused::Site) => {
            tracing::debug!("another web site asked for something on the admin port");
            (StatusCode::FORBIDDEN, "not for other web sites\n").into_response()
        }
    }
}

/// Says to browsers what they may do with an answer.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let marks = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ];
    for (name, value) in marks {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn judge(reach: Reach, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // HTTP/2 has it in the URI; programs of HTTP/1.0 have none.
    let host = uri.authority().map(Authority::as_str).or_else(|| text("host")).unwrap_or_default();
    if reach == Reach::Pod && !is_here(host) {
        return Err(Refused::Host(host.chars().take(100).collect()));
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let follows_a_link = reads && text(FETCH_MODE) == Some("navigate");
    // The same site is not enough: every port of localhost is one.
    let other_site = text(FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or("?"));
    let other_origin = origin.is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none_or(|authority| !authority.eq_ignore_ascii_case(host))
    });
    if (other_site || other_origin) && !follows_a_link { Err(Refused::Site) } else { Ok(()) }
}

/// Whether a name can only mean this machine. No page can have an address for its name.
fn is_here(host: &str) -> bool {
    if host.is_empty() {
        return true;
    }
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let local = name == "localhost" || name.ends_with(".localhost");
    !authority.as_str().contains('@') && (local || bare.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    use super::{Reach, Refused, is_here, judge};

    #[test]
    fn only_what_no_page_can_be_called_is_here() {
        for host in [
            "",
            "localhost",
            "LOCALHOST:30102",
            "localhost.:8080",
            "mesher.localhost:1",
            "127.0.0.1",
            "127.0.0.1:30102",
            "10.1.2.3:9",
            "[::1]:30102",
            "[fd00::1]",
        ] {
            assert!(is_here(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:30102",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "127.0.0.1@evil.example",
            "x@127.0.0.1",
            "a b",
            "orders",
        ] {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn no_other_site_is_answered() {
        let site = Err(Refused::Site);
        let here = "127.0.0.1:30102";
        for (method, headers, expected) in [
            ("POST", vec![("host", here)], Ok(())),
            ("GET", vec![], Ok(())),
            ("GET", vec![("host", "evil.example")], Err(Refused::Host("evil.example".into()))),
            ("POST", vec![("host", here), ("origin", "http://evil.example")], site.clone()),
            ("POST", vec![("host", here), ("origin", "null")], site.clone()),
            ("POST", vec![("host", here), ("origin", "http://127.0.0.1:3000")], site.clone()),
            ("POST", vec![("host", here), ("origin", "http://127.0.0.1:30102")], Ok(())),
            ("POST", vec![("host", here), ("sec-fetch-site", "cross-site")], site.clone()),
            ("POST", vec![("host", here), ("sec-fetch-site", "same-site")], site.clone()),
            ("POST", vec![("host", here), ("sec-fetch-site", "same-origin")], Ok(())),
            (
                "POST",
                vec![
                    ("host", here),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                site.clone(),
            ),
            ("GET", vec![("host", here), ("sec-fetch-site", "cross-site")], site.clone()),
            ("GET", vec![("host", here), ("sec-fetch-site", "none")], Ok(())),
            (
                "GET",
                vec![
                    ("host", here),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                Ok(()),
            ),
        ] {
            let headers: HeaderMap = headers
                .into_iter()
                .map(|(name, value)| {
                    (HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect();
            let method: Method = method.parse().unwrap();
            let uri = Uri::from_static("/drain");
            assert_eq!(
                judge(Reach::Pod, &method, &uri, &headers),
                expected,
                "{method} {headers:?}"
            );
        }
    }

    #[test]
    fn http2_has_the_name_in_the_uri_and_a_public_address_any_name() {
        let (get, none) = (Method::GET, HeaderMap::new());
        let evil = Uri::from_static("http://evil.example/drain");
        let refused = Err(Refused::Host("evil.example".into()));
        assert_eq!(judge(Reach::Pod, &get, &evil, &none), refused);
        assert_eq!(judge(Reach::Everybody, &get, &evil, &none), Ok(()));
    }
}
