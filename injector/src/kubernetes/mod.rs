//! What the injector says to the Kubernetes API, none of it on a request's way: its CA goes into
//! `caBundle` of its own configuration ([`ca_bundle`]), one of several replicas is elected to write
//! that and the certificates ([`election`]), and the server's version decides what
//! `nativeSidecar: auto` means ([`api_server`]).
//!
//! Needs, restricted to the one object by `resourceNames` (list and watch name it by field
//! selector): `get, list, watch, patch` on `mutatingwebhookconfigurations`. `/version` is open to
//! everybody who is authenticated.

pub mod api_server;
pub mod ca_bundle;
pub mod election;
mod lease;

use std::path::Path;
use std::time::Duration;

use certs::Trust;
use certs::store::explain;
use hyper::http::Request;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use api_server::ApiServer;
pub use ca_bundle::{CaBundle, State};
pub use election::{Candidacy, Election, Leadership};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the Kubernetes API could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No way to the API server is configured.
    #[error(
        "no Kubernetes API server is configured: {0}; run inside a cluster, or name a kubeconfig \
         file by flag or in KUBECONFIG"
    )]
    Config(String),
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context \"{context}\"; it has: {known}")]
    Context {
        /// What was asked for.
        context: String,
        /// What there is.
        known: String,
    },
    /// The API server refused, or could not be reached.
    #[error("{doing}: {}{}", explain(source), remedy(source))]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// A leader could not say in time that it is still there.
    #[error(
        "the Lease could not be read and written within {within:?}; it is tried again: is the API \
         server slow, or out of reach?"
    )]
    Lease {
        /// How long it was tried.
        within: Duration,
    },
    /// The API server did not answer in time.
    #[error("{doing}: no answer from the Kubernetes API within {DEADLINE:?}; it is tried again")]
    Deadline {
        /// What was being done.
        doing: &'static str,
    },
}

impl Error {
    /// Whether another writer was faster, or the object is gone: read again.
    fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// What the API server said against it; `None` where it said nothing.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}

fn remedy(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "; give the service account what manifests/base/rbac.yaml names, and for healing \
             rbac.yaml of its component"
        }
        kube::Error::Api(status) if status.code == 401 => "; check the token or client certificate",
        kube::Error::Api(_) => "",
        _ => "; check that the API server can be reached from here",
    }
}

/// Why a watch is interrupted.
pub(crate) fn interrupted(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => format!("{}{}", explain(error), remedy(error)),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// A request for what is at `path` of the API.
pub(crate) fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).expect("paths of the API are paths")
}

/// A request that posts `body` to `path` of the API.
pub(crate) fn post(path: &str, body: &Value) -> Request<Vec<u8>> {
    Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .expect("paths of the API are paths")
}

/// One call, with its deadline.
pub(crate) async fn call<T>(
    doing: &'static str,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Api { doing, source: Box::new(source) }),
        Err(_) => Err(Error::Deadline { doing }),
    }
}

/// As [`connect`], for a user: of the file `kubeconfig`, else where kubectl looks, and of `context`,
/// else the current one; without any kubeconfig that of the pod this runs in.
pub async fn connect_as(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, Error> {
    if kubeconfig.is_none() && context.is_none() {
        return connect(None).await;
    }
    let wrong = |e: &dyn std::fmt::Display| Error::Config(e.to_string());
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|e| wrong(&e))?,
        None => Kubeconfig::read().map_err(|e| wrong(&e))?,
    };
    if let Some(context) = context
        && !file.contexts.iter().any(|known| known.name == context)
    {
        let known: Vec<String> = file.contexts.into_iter().map(|known| known.name).collect();
        return Err(Error::Context { context: context.to_owned(), known: known.join(", ") });
    }
    let options =
        KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.map_err(|e| wrong(&e))?;
    Client::try_from(config).map_err(|e| wrong(&e))
}

/// Makes a client: of the file `kubeconfig`, else of `KUBECONFIG` or `~/.kube/config`, else of the
/// pod's service account. Nothing is sent yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let config = configuration(kubeconfig).await?;
    Client::try_from(config).map_err(|e| Error::Config(e.to_string()))
}

/// As [`connect`], for who has to hear of every refusal: the client of [`connect`] sends by itself
/// again what was answered with 429, and so keeps to itself that a disruption budget forbids
/// something.
pub(crate) async fn connect_without_retry() -> Result<Client, Error> {
    let mut config = configuration(None).await?;
    config.default_retry = false;
    Client::try_from(config).map_err(|e| Error::Config(e.to_string()))
}

async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, Error> {
    let wrong = |e: &dyn std::fmt::Display| Error::Config(e.to_string());
    match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|e| wrong(&e))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| wrong(&e))
        }
        None => Config::infer().await.map_err(|e| wrong(&e)),
    }
}

/// Which objects are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the MutatingWebhookConfiguration, for example `sidecar-injector`.
    pub configuration: String,
    /// Our entries in it. `sidecar-injector.mesher.io` means the entry of that name and those
    /// whose name ends in a dot and it, as `pods.sidecar-injector.mesher.io` does.
    pub webhooks: Vec<String>,
    /// How long readiness waits for the API server's version before plain sidecars are assumed.
    pub version_wait: Duration,
    /// How often the version is read again.
    pub version_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            configuration: "sidecar-injector".into(),
            webhooks: vec!["sidecar-injector.mesher.io".into()],
            version_wait: Duration::from_secs(10),
            version_every: Duration::from_mins(10),
        }
    }
}

/// The background tasks. Dropped, they end at once; see [`Self::stop`].
#[derive(Debug)]
pub struct Keeper {
    ca_bundle: watch::Receiver<CaBundle>,
    api_server: watch::Receiver<ApiServer>,
    stop: Option<oneshot::Sender<()>>,
    tasks: [JoinHandle<()>; 2],
}

impl Keeper {
    /// Starts to keep `caBundle` equal to the bundle of `certificates` ([`certs::Serving::status`])
    /// while this replica `leads` ([`Election::leads`]; `None`: there is no other), to tell by
    /// `trust` what clients trust, and to ask for the server's version. Returns at once; nothing it
    /// does can fail but in what [`Self::ca_bundle`] and [`Self::api_server`] say.
    pub fn start(
        client: Client,
        settings: Settings,
        certificates: watch::Receiver<certs::Status>,
        leads: Option<watch::Receiver<bool>>,
        trust: watch::Sender<Trust>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        // Both tasks wait for the one word.
        let stopped = futures::FutureExt::shared(stopped);
        let (bundle_state, ca_bundle) = watch::channel(CaBundle::default());
        let (version_state, api_server) = watch::channel(ApiServer::default());
        let probe = api_server::run(
            client.clone(),
            settings.version_wait,
            settings.version_every,
            version_state,
        );
        let report = ca_bundle::Report { state: bundle_state, trust };
        let keep = ca_bundle::run(client, settings, certificates, leads, report);
        let tasks =
            [tokio::spawn(until(stopped.clone(), probe)), tokio::spawn(until(stopped, keep))];
        Self { ca_bundle, api_server, stop: Some(stop), tasks }
    }

    /// How `caBundle` stands; changes are announced. For the metric, readiness detail and `check`.
    pub fn ca_bundle(&self) -> watch::Receiver<CaBundle> {
        self.ca_bundle.clone()
    }

    /// What is known about the API server; changes are announced. Ready when
    /// [`ApiServer::settled`].
    pub fn api_server(&self) -> watch::Receiver<ApiServer> {
        self.api_server.clone()
    }

    /// Ends both tasks at their next pause.
    pub async fn stop(mut self) {
        self.stop.take();
        for task in &mut self.tasks {
            let _ = task.await;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Runs `work` until `stopped`. Every write is one call, so that it is sent whole or not at all.
async fn until<S: Future>(stopped: S, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = stopped => {}
        () = work => {}
    }
}
