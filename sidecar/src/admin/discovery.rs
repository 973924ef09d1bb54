//! `/v1/mesher/discovery`: where services are learned of, and how that and our own registration go.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use mesh::Status;
use serde::Serialize;

use super::contact::Contact;
use super::xds::Xds;
use crate::settings;
use crate::shared::Shared;

/// How discovery goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery {
    /// `sc` or `pilot`.
    backend: &'static str,
    /// Where it is asked, without user names.
    addresses: Vec<String>,
    #[serde(flatten)]
    contact: Contact,
    /// Whether changes are pushed to us; they are asked for all the same.
    watches: bool,
    refresh_interval_seconds: f64,
    /// Services that are followed and exist.
    services: usize,
    /// Their instances, of every status.
    instances: usize,
    registration: Registration,
    /// How it goes with a control plane, where one is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    xds: Option<Xds>,
}

/// How others learn of us.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    /// Whether the settings ask for it.
    wanted: bool,
    /// Once the service is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<String>,
    /// What the registry has of our instance: `UP`, `DOWN`, ...; absent without an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_status: Option<&'static str>,
    /// What went wrong last, while it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `/v1/mesher/discovery`
pub(super) async fn discovery(State(shared): State<Arc<Shared>>) -> Json<Discovery> {
    Json(Discovery::of(&shared))
}

impl Discovery {
    pub(super) fn of(shared: &Shared) -> Self {
        let settings = shared.settings();
        let (backend, addresses, watches, refresh, register) = match &settings.discovery {
            settings::Discovery::ServiceCenter(terms) => {
                let addresses = terms.addresses.iter().map(|address| without_user(address));
                let interval = terms.refresh_interval;
                ("sc", addresses.collect(), terms.watch, interval, terms.register)
            }
            settings::Discovery::Pilot(terms) => {
                ("pilot", vec![terms.address.clone()], true, std::time::Duration::ZERO, false)
            }
        };
        let contact = match shared.plans.state() {
            discovery::State::Starting => Contact::starting(),
            discovery::State::Connected => Contact::connected(),
            discovery::State::Stale { since, error } => Contact::stale(since, error),
        };
        let snapshot = shared.plans.snapshot();
        let standing = shared.standing.get().map(|standing| standing.borrow().clone());
        let standing = standing.unwrap_or_default();
        Self {
            backend,
            addresses,
            contact,
            watches,
            refresh_interval_seconds: refresh.as_secs_f64(),
            services: snapshot.services().len(),
            instances: snapshot.services().map(|service| service.instances().len()).sum(),
            registration: Registration {
                wanted: register,
                service_id: standing.service_id.as_deref().map(str::to_owned),
                instance_status: standing.status.map(Status::as_str),
                error: standing.error,
            },
            xds: shared.xds.get().map(|client| Xds::of(client, &snapshot)),
        }
    }
}

/// `http://user:password@host` without what stands before the `@`.
fn without_user(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn who_asks_is_not_shown() {
        for (address, shown) in [
            ("http://127.0.0.1:30100", "http://127.0.0.1:30100"),
            ("https://me:pass@word@registry:30100", "https://registry:30100"),
        ] {
            assert_eq!(super::without_user(address), shown);
        }
    }
}
