//! Requests that a rule of their source writes anew.

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};

use crate::plan::Rewrite;

/// Makes the head what the rule asks for.
pub(super) fn rewrite(rewrite: &Rewrite, head: &mut Parts) {
    rewrite.headers.make(&mut head.headers);
    if let Some(host) = &rewrite.host {
        head.headers.insert(HOST, host.clone());
    }
    if let Some((path, matched)) = &rewrite.path {
        let path = path.of(head.uri.path(), matched);
        let slash = if path.starts_with('/') { "" } else { "/" };
        let written = match head.uri.query() {
            Some(query) => format!("{slash}{path}?{query}"),
            None => format!("{slash}{path}"),
        };
        // What is no path of a URL is not asked for: the rule would have to be another.
        if let Ok(written) = PathAndQuery::try_from(written) {
            head.uri = Uri::from(written);
        }
    }
}
