//! Name and password. The registry that runs here asks for none, so a gate before it does: it
//! answers in the form that service-center documents. Against a real one this is not verified.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use discovery::servicecenter::Options;
use discovery::{Answer, Source};
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::Status;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::registry::{LONG, Registry, key, registered, sees, start};

const PASSWORD: &str = "kuckuck-7";

/// Lets calls through that carry the token it gave out last.
#[derive(Debug)]
struct Gate {
    registry: String,
    /// How many tokens it gave out; the last one counts.
    tokens: AtomicUsize,
}

impl Gate {
    /// Opens one before `registry`; returns its address too.
    async fn open(registry: &Registry) -> Result<(Arc<Self>, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let gate = Arc::new(Self { registry: registry.address(), tokens: AtomicUsize::new(0) });
        let serving = Arc::clone(&gate);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let gate = Arc::clone(&serving);
                let service = service_fn(move |request| {
                    let gate = Arc::clone(&gate);
                    async move { Ok::<_, Infallible>(gate.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service));
            }
        });
        Ok((gate, address))
    }

    fn token(&self) -> String {
        format!("Bearer token-{}", self.tokens.load(Ordering::SeqCst))
    }

    /// What was given out counts no longer.
    fn revoke(&self) {
        self.tokens.fetch_add(1, Ordering::SeqCst);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        let answer = |status, text: String| {
            let mut response = Response::new(Full::from(text));
            *response.status_mut() = status;
            response
        };
        if (head.method.clone(), head.uri.path()) == (Method::POST, "/v4/token") {
            let expected = serde_json::json!({"name": "mesher", "password": PASSWORD});
            if serde_json::from_slice::<serde_json::Value>(&body).ok() != Some(expected) {
                let refusal =
                    r#"{"errorCode":"401201","errorMessage":"Wrong user name or password"}"#;
                return answer(StatusCode::UNAUTHORIZED, refusal.to_owned());
            }
            let count = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(StatusCode::OK, format!(r#"{{"token":"token-{count}"}}"#));
        }
        if head.headers.get(AUTHORIZATION).is_none_or(|given| *given != *self.token()) {
            let refusal = r#"{"errorCode":"401202","errorMessage":"Request unauthorized"}"#;
            return answer(StatusCode::UNAUTHORIZED, refusal.to_owned());
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut onward =
            Request::builder().method(head.method).uri(format!("{}{path}", self.registry));
        if let Some(headers) = onward.headers_mut() {
            headers.extend(head.headers);
            headers.remove(http::header::HOST);
        }
        let Ok(onward) = onward.body(Full::new(body)) else {
            return answer(StatusCode::BAD_REQUEST, String::new());
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        match client.request(onward).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes);
                Response::from_parts(head, Full::new(body.unwrap_or_default()))
            }
            Err(error) => answer(StatusCode::BAD_GATEWAY, error.to_string()),
        }
    }
}

fn through(address: &str, mut options: Options, password: &str) -> Options {
    options.addresses = vec![address.to_owned()];
    options.account = Some(("mesher".to_owned(), password.to_owned()));
    options.watch = false;
    options
}

#[tokio::test]
async fn a_token_is_got_and_got_again_when_it_counts_no_longer() -> Result<()> {
    let registry = Registry::start()?;
    let (gate, address) = Gate::open(&registry).await?;
    let provider = start(through(&address, registry.options("orders", Some(8080)), PASSWORD))?;
    registered(&provider, Some(Status::Up)).await?;
    let client = start(through(&address, registry.options("frontend", None), PASSWORD))?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    gate.revoke();
    provider.set_status(Status::Down);
    registered(&provider, Some(Status::Down)).await?;
    assert_eq!(client.demand(&key("unheard-of")).within(LONG).await, Answer::Unknown);
    sees(&client, "orders", &["8080 Up"]).await
}

#[tokio::test]
async fn a_wrong_password_is_said_and_never_shown() -> Result<()> {
    let registry = Registry::start()?;
    let (gate, address) = Gate::open(&registry).await?;
    let client = start(through(&address, registry.options("frontend", None), "wrong-horse"))?;
    let mut standing = client.standing();
    let standing = timeout(LONG, standing.wait_for(|standing| standing.error.is_some()));
    let error = standing.await.context("nothing was said")??.error.clone();
    let error = error.context("it is there")?;
    assert!(error.contains("Wrong user name or password"), "{error}");
    assert!(!error.contains("wrong-horse"), "{error}");
    assert_eq!(gate.tokens.load(Ordering::SeqCst), 0);
    Ok(())
}
