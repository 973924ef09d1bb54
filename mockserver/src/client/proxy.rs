//! Which proxy a call goes through.

use std::env;

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::Error;

/// The rules of `http_proxy` and `no_proxy`.
///
/// Unlike Go's and Java's own clients it makes no exception for loopback: what `no_proxy` does not
/// name goes through the proxy, so a mesh can be tried on one machine.
#[derive(Debug)]
pub struct Proxy(Matcher);

impl Proxy {
    /// The rules of the environment: `HTTP_PROXY` or `http_proxy`, `NO_PROXY` or `no_proxy`.
    pub fn from_environment() -> Result<Self, Error> {
        let (name, http) = first(["HTTP_PROXY", "http_proxy"]);
        let (_, no) = first(["NO_PROXY", "no_proxy"]);
        Self::new(name, &http, &no)
    }

    /// One proxy for all calls but those that `no` names (hosts, domains, networks; `*` for all).
    /// An empty `http` is no proxy; `from` says where it is written.
    pub fn new(from: &'static str, http: &str, no: &str) -> Result<Self, Error> {
        if !http.is_empty() {
            let everything = Matcher::builder().http(http).build();
            let usable = everything
                .intercept(&Uri::from_static("http://example/"))
                .is_some_and(|proxy| proxy.uri().scheme() == Some(&Scheme::HTTP));
            if !usable {
                return Err(Error::Proxy { from });
            }
        }
        Ok(Self(Matcher::builder().http(http).no(no).build()))
    }

    /// No proxy for any call.
    pub fn none() -> Self {
        Self(Matcher::builder().build())
    }

    pub(super) fn of(&self, uri: &Uri) -> Option<Intercept> {
        self.0.intercept(uri)
    }
}

/// The first of the variables that is set, and its name.
fn first<const N: usize>(names: [&'static str; N]) -> (&'static str, String) {
    let set = names.iter().find_map(|name| env::var(name).ok().map(|value| (*name, value)));
    set.unwrap_or((names[0], String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_through_it() {
        let sidecar = "http://127.0.0.1:30101";
        let table = [
            (sidecar, "", "http://reviews:8080/", true),
            (sidecar, "", "http://127.0.0.1:8080/", true),
            (sidecar, "", "http://localhost/", true),
            (sidecar, "", "http://[::1]:8080/", true),
            ("127.0.0.1:30101", "", "http://reviews/", true),
            ("http://user:word@127.0.0.1:30101/", "", "http://reviews/", true),
            ("", "", "http://reviews/", false),
            (sidecar, "localhost,127.0.0.1,::1", "http://127.0.0.1:8080/", false),
            (sidecar, "localhost,127.0.0.1,::1", "http://127.0.0.2:8080/", true),
            (sidecar, "localhost,127.0.0.1,::1", "http://[::1]:8080/", false),
            (sidecar, "10.0.0.0/8, .cluster.local", "http://10.1.2.3/", false),
            (sidecar, "10.0.0.0/8, .cluster.local", "http://a.cluster.local/", false),
            (sidecar, "*", "http://reviews/", false),
        ];
        for (http, no, uri, through) in table {
            let proxy = Proxy::new("http_proxy", http, no).unwrap();
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(proxy.of(&uri).is_some(), through, "{http:?} but {no:?}: {uri}");
        }
        assert!(Proxy::none().of(&Uri::from_static("http://reviews/")).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_said_without_its_password() {
        for http in
            ["https://u:secret@p:1", "socks5://u:secret@p:1", "ftp://u:secret@p", "a b:secret"]
        {
            let error = Proxy::new("http_proxy", http, "").unwrap_err().to_string();
            assert!(error.contains("http_proxy"), "{error}");
            assert!(error.contains("http://HOST:PORT"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
