//! HTTP with one server that has several addresses: the one that answered last is asked first, each
//! within a deadline, and TLS follows its files.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio::time::timeout;

/// 10,000 instances of a kilobyte each, and then some.
const LARGEST_ANSWER: usize = 32 << 20;

/// Keeps connections; a clone shares them.
type Http = HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What TLS with a server is made with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// It may change while the client runs: calls take what is there when they begin, and what is
    /// under way goes on.
    pub config: watch::Receiver<Arc<rustls::ClientConfig>>,
    /// The name to be proven, where it is not the address's.
    pub server_name: Option<String>,
}

/// Speaks HTTP with whichever address answers.
pub(crate) struct Endpoints {
    http: Mutex<(Http, Option<Tls>)>,
    addresses: Vec<Uri>,
    /// Index of the address that answered last.
    preferred: AtomicUsize,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// An address that is none.
#[derive(Debug)]
pub(crate) struct NoAddress {
    /// As it was written.
    pub(crate) address: String,
    pub(crate) reason: &'static str,
}

/// Nobody answered.
#[derive(Debug)]
pub(crate) struct Silent {
    /// Who was asked last.
    pub(crate) address: String,
    pub(crate) reason: String,
}

impl Endpoints {
    /// `without_tls` says what is missing where an address has `https` and there is no `tls`.
    pub(crate) fn new(
        addresses: &[String],
        mut tls: Option<Tls>,
        without_tls: &'static str,
    ) -> Result<Self, NoAddress> {
        let mut uris = Vec::new();
        for address in addresses {
            let secured = if tls.is_some() { Ok(()) } else { Err(without_tls) };
            let wrong = |reason| NoAddress { address: address.clone(), reason };
            uris.push(parse(address, secured).map_err(wrong)?);
        }
        if uris.is_empty() {
            return Err(NoAddress { address: String::new(), reason: "there is none" });
        }
        let http = match &mut tls {
            Some(tls) => {
                let config = (**tls.config.borrow_and_update()).clone();
                http(config, tls.server_name.as_deref())?
            }
            None => http(no_trust()?, None)?,
        };
        Ok(Self { http: Mutex::new((http, tls)), addresses: uris, preferred: AtomicUsize::new(0) })
    }

    /// The address that answered last.
    pub(crate) fn preferred(&self) -> &Uri {
        let preferred = self.preferred.load(Ordering::Relaxed) % self.addresses.len();
        &self.addresses[preferred]
    }

    /// Asks, at one address after the other until one answers, whatever it says. The request has
    /// a path and no host.
    pub(crate) async fn ask(
        &self,
        request: &Request<Bytes>,
        deadline: Duration,
    ) -> Result<Response<Bytes>, Silent> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for step in 0..self.addresses.len() {
            let index = (first + step) % self.addresses.len();
            let address = &self.addresses[index];
            match timeout(deadline, self.ask_one(address, request)).await {
                Ok(Ok(reply)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Ok(Err(reason)) => failure = Some((address, reason)),
                Err(_) => failure = Some((address, format!("no answer within {deadline:?}"))),
            }
        }
        let (address, reason) = failure.unwrap_or((&self.addresses[0], String::new()));
        Err(Silent { address: address.to_string(), reason })
    }

    async fn ask_one(
        &self,
        address: &Uri,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, String> {
        let base = address.to_string();
        let mut request = request.clone().map(Full::new);
        let uri = format!("{}{}", base.trim_end_matches('/'), request.uri());
        *request.uri_mut() = uri.parse().map_err(|_| format!("{uri} is no URL"))?;
        let response = self.http().request(request).await.map_err(|error| reason(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|e| e.to_string())?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    /// With what TLS is made with now; where that is another, connections are new ones.
    fn http(&self) -> Http {
        let mut made = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, tls) = &mut *made;
        if let Some(tls) = tls
            && tls.config.has_changed().unwrap_or(false)
        {
            let config = (**tls.config.borrow_and_update()).clone();
            if let Ok(new) = http(config, tls.server_name.as_deref()) {
                *client = new;
            }
        }
        client.clone()
    }
}

fn parse(address: &str, secured: Result<(), &'static str>) -> Result<Uri, &'static str> {
    let text = address.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => secured?,
        _ => return Err("neither http nor https"),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it names no host");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("something stands after the port");
    }
    Ok(uri)
}

fn http(tls: rustls::ClientConfig, server_name: Option<&str>) -> Result<Http, NoAddress> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    let mut https = HttpsConnectorBuilder::new().with_tls_config(without_alpn(tls)).https_or_http();
    if let Some(name) = server_name {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| NoAddress {
            address: name.to_owned(),
            reason: "serverName in tls.yaml can't be a certificate's name",
        })?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let builder = HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(1))
        .clone();
    Ok(builder.build(https.enable_http1().wrap_connector(connector)))
}

/// The builder asks for it: it puts in itself what it can speak.
fn without_alpn(mut tls: rustls::ClientConfig) -> rustls::ClientConfig {
    tls.alpn_protocols.clear();
    tls
}

/// Never used: an address with https is refused where no configuration was given.
fn no_trust() -> Result<rustls::ClientConfig, NoAddress> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| NoAddress {
        address: String::new(),
        reason: "TLS can't be set up: this build has no version of it",
    })?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// The innermost cause says what happened; the outer ones that a request failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses() {
        let none = Err("https needs a tag");
        for good in ["http://127.0.0.1:30100", "http://sc:30100/", "sc:30100", "http://[::1]:1"] {
            assert!(parse(good, none).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("", "not a URL"),
            ("https://sc:1", "https needs"),
            ("ftp://sc:1", "neither http"),
            ("http://sc:1/v4", "after the port"),
            ("http://a b", "not a URL"),
        ] {
            let reason = parse(wrong, none).unwrap_err();
            assert!(reason.contains(why), "{wrong}: {reason}");
        }
        assert!(parse("https://sc:1", Ok(())).is_ok());
    }
}
