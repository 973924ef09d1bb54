//! Where services are learned of: the client of one registry or the other, and what it needs and
//! shows.

use std::sync::Arc;

use discovery::{Source, ads, servicecenter};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::lifecycle::{Lifecycle, Phase};
use crate::proxy::Proxy;
use crate::settings::{Discovery, Settings};
use crate::tls::Tls;
use crate::{pilot, registration};

/// A running client.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Of service-center.
    ServiceCenter(Arc<servicecenter::ServiceCenter>, servicecenter::Metrics),
    /// Of istiod.
    Pilot(Arc<ads::Ads>, ads::Metrics),
}

impl Backend {
    /// Starts the client that the settings name. Nothing is waited for.
    pub(crate) fn start(settings: &Settings, tls: &Tls) -> Result<Self, Error> {
        Ok(match &settings.discovery {
            Discovery::ServiceCenter(terms) => {
                let calls = servicecenter::Metrics::default();
                let client = registration::start(settings, terms, &calls, tls)?;
                Self::ServiceCenter(client, calls)
            }
            Discovery::Pilot(terms) => {
                if !settings.health_checks.is_empty() {
                    tracing::warn!(
                        "localHealthCheck has no effect with Istio: Kubernetes' own probes decide \
                         which instances take requests"
                    );
                }
                let metrics = ads::Metrics::default();
                let client = ads::Ads::start(pilot::options(settings, terms), &metrics)?;
                Self::Pilot(Arc::new(client), metrics)
            }
        })
    }

    /// What the proxy learns of services from.
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        match self {
            Self::ServiceCenter(client, _) => Arc::clone(client) as _,
            Self::Pilot(client, _) => Arc::clone(client) as _,
        }
    }

    /// Lets the admin port show how it is doing, and the proxy find out what it does not say.
    pub(crate) fn show(&self, proxy: &mut Proxy) {
        match self {
            Self::ServiceCenter(client, calls) => {
                proxy.show_standing(client.standing());
                proxy.measure(|registry| calls.register(registry));
            }
            Self::Pilot(client, metrics) => {
                proxy.show_xds(Arc::clone(client));
                proxy.find_peers();
                proxy.measure(|registry| metrics.register(registry));
            }
        }
    }

    /// Says what our instance is, where somebody is told; ends when the proxy closes.
    pub(crate) fn attend(self, lifecycle: Lifecycle, settings: &Settings) -> JoinHandle<()> {
        match self {
            Self::ServiceCenter(client, _) => registration::attend(client, lifecycle, settings),
            // Kubernetes knows of us without being told.
            Self::Pilot(..) => tokio::spawn(async move { lifecycle.reached(Phase::Closing).await }),
        }
    }
}
