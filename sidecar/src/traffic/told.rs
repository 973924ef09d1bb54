//! Answers that a rule gives by itself: a response, or a redirection.

use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use mesh::virtual_host::{PathMatch, Redirect};

use super::response::ResponseBody;
use crate::plan::Told;

/// The answer to a request.
pub(super) fn response(told: &Told, head: &Parts) -> Response<ResponseBody> {
    let (status, body) = match told {
        Told::Redirect(redirect, _) => (redirect.status, String::new()),
        Told::Respond(respond) => {
            (respond.status, String::from_utf8_lossy(&respond.body).into_owned())
        }
    };
    let empty = body.is_empty();
    let mut response =
        Response::new(if empty { ResponseBody::empty() } else { ResponseBody::text(body) });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    if !empty {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    if let Told::Redirect(redirect, matched) = told
        && let Ok(place) = HeaderValue::from_str(&location(redirect, matched, head))
    {
        headers.insert(LOCATION, place);
    }
    response
}

/// Where to ask instead: what the rule leaves open is as it was asked for.
fn location(redirect: &Redirect, matched: &PathMatch, head: &Parts) -> String {
    let asked = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (asked_host, asked_port) = match asked.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (asked, None),
    };
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let host = redirect.host.as_deref().unwrap_or(asked_host);
    // Another scheme or host has a port of its own.
    let port = match (redirect.port, &redirect.scheme, &redirect.host) {
        (Some(port), ..) => format!(":{port}"),
        (None, None, None) => asked_port.map(|port| format!(":{port}")).unwrap_or_default(),
        (None, ..) => String::new(),
    };
    let asked_path = head.uri.path();
    let path = redirect.path.as_ref().map_or(asked_path.into(), |it| it.of(asked_path, matched));
    let query = match head.uri.query() {
        Some(query) if !redirect.strip_query && !path.contains('?') => format!("?{query}"),
        _ => String::new(),
    };
    format!("{scheme}://{host}{port}{path}{query}")
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use mesh::virtual_host::{PathMatch, PathRewrite, Redirect};

    use super::location;

    fn redirect() -> Redirect {
        let strip_query = false;
        Redirect { status: 302, scheme: None, host: None, port: None, path: None, strip_query }
    }

    #[test]
    fn what_a_rule_leaves_open_is_as_it_was_asked_for() {
        let request = Request::builder().uri("/a?b=c").header("host", "reviews:8080").body(());
        let (head, ()) = request.unwrap().into_parts();
        let matched = PathMatch::Segments { prefix: "/a".into(), ignore_case: false };
        let prefix = Some(PathRewrite::Prefix("/b".into()));
        let whole = |path: &str| Some(PathRewrite::Whole(path.into()));
        for (rule, place) in [
            (redirect(), "http://reviews:8080/a?b=c"),
            (Redirect { host: Some("www".into()), ..redirect() }, "http://www/a?b=c"),
            (Redirect { scheme: Some("https".into()), ..redirect() }, "https://reviews/a?b=c"),
            (Redirect { port: Some(81), strip_query: true, ..redirect() }, "http://reviews:81/a"),
            (Redirect { path: whole("/gone"), ..redirect() }, "http://reviews:8080/gone?b=c"),
            (Redirect { path: prefix, ..redirect() }, "http://reviews:8080/b?b=c"),
            (Redirect { path: whole("/x?y"), ..redirect() }, "http://reviews:8080/x?y"),
        ] {
            assert_eq!(location(&rule, &matched, &head), place);
        }
    }
}
