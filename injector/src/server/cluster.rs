//! What the server has to do with its cluster, all of it beside the requests' way.

use std::sync::Arc;

use certs::Trust;
use tokio::sync::watch;

use super::certificate;
use super::error::ServerError;
use super::healing;
use super::live::Live;
use crate::config::Config;
use crate::healing::{Healing, State};
use crate::kubernetes::{
    ApiServer, CaBundle, Candidacy, Election, Keeper, Leadership, Settings, connect,
};

/// The way to the API server; there is none with `kubernetes.enabled: false`.
pub(super) async fn client(config: &Config) -> Result<Option<kube::Client>, ServerError> {
    if config.kubernetes.enabled { Ok(Some(connect(None).await?)) } else { Ok(None) }
}

/// The injector's own namespace; `None`: there is no cluster, and nobody said.
pub(super) fn own_namespace(config: &Config, client: Option<&kube::Client>) -> Option<String> {
    let said = config.kubernetes.namespace.clone();
    said.or_else(|| client.map(|client| client.default_namespace().to_owned()))
}

/// Stands for election where one of several replicas has to do something: to write what they share,
/// or to look for pods without their sidecar.
pub(super) fn stand(
    config: &Config,
    namespace: &str,
    client: Option<&kube::Client>,
) -> Option<Election> {
    let wanted = certificate::is_shared(config) || healing::is_wanted(config);
    let client = client.filter(|_| wanted)?.clone();
    let candidacy: Candidacy = config.kubernetes.lease.candidacy(namespace);
    Some(Election::stand(client, candidacy))
}

/// Starts to keep `caBundle` and to ask for the API server's version.
pub(super) fn keep(
    config: &Config,
    client: kube::Client,
    serving: &certs::Serving,
    election: Option<&Election>,
    trust: watch::Sender<Trust>,
) -> Keeper {
    let settings = Settings {
        configuration: config.kubernetes.webhook_configuration.clone(),
        webhooks: config.kubernetes.webhooks.clone(),
        ..Settings::default()
    };
    let election = election.filter(|_| certificate::is_shared(config));
    Keeper::start(client, settings, serving.status(), election.map(Election::leads), trust)
}

/// Takes over what the API server's version allows, whenever it becomes another.
pub(super) async fn follow_version(mut server: watch::Receiver<ApiServer>, live: Arc<Live>) {
    loop {
        let native = server.borrow_and_update().native_by_default();
        live.set_native(native);
        if server.changed().await.is_err() {
            return;
        }
    }
}

/// What is known about the cluster at the moment.
#[derive(Debug, Clone)]
pub(super) struct ClusterState {
    pub(super) api_server: watch::Receiver<ApiServer>,
    pub(super) ca_bundle: watch::Receiver<CaBundle>,
    /// `None`: this replica shares with no other.
    pub(super) leadership: Option<watch::Receiver<Leadership>>,
    /// `None`: nobody looks for pods without their sidecar.
    pub(super) healing: Option<watch::Receiver<State>>,
}

impl ClusterState {
    pub(super) fn of(
        keeper: &Keeper,
        election: Option<&Election>,
        healing: Option<&Healing>,
    ) -> Self {
        Self {
            api_server: keeper.api_server(),
            ca_bundle: keeper.ca_bundle(),
            leadership: election.map(Election::leadership),
            healing: healing.map(Healing::state),
        }
    }
}
