//! The application's place in service-center: what is registered, and what its instance says of
//! itself from the start to the end.

mod application;
mod options;

use std::sync::Arc;

use discovery::servicecenter::{Metrics, ServiceCenter};
use mesh::Status;
use tokio::task::JoinHandle;

use options::options;

use crate::error::Error;
use crate::lifecycle::{Lifecycle, Phase};
use crate::settings::{ServiceCenter as Terms, Settings};
use crate::tls::Tls;
use application::Application;

/// Starts the client. Nothing is waited for; the instance is STARTING until [`attend`] says more.
pub fn start(
    settings: &Settings,
    terms: &Terms,
    metrics: &Metrics,
    tls: &Tls,
) -> Result<Arc<ServiceCenter>, Error> {
    let options = options(settings, terms, tls.registry());
    Ok(Arc::new(ServiceCenter::start(options, Status::Starting, metrics)?))
}

/// Says what the instance is: UP as soon as the application answers, DOWN while a health check
/// fails and from the drain on; takes it out when the proxy closes, and then ends.
pub fn attend(
    source: Arc<ServiceCenter>,
    lifecycle: Lifecycle,
    settings: &Settings,
) -> JoinHandle<()> {
    let application = Application::of(settings);
    let has_instance = settings.provider_addresses().next().is_some();
    tokio::spawn(async move {
        let follow = async {
            if has_instance {
                application.follow(|status| source.set_status(status)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = lifecycle.reached(Phase::Draining) => {}
            () = follow => {}
        }
        source.set_status(Status::Down);
        lifecycle.reached(Phase::Closing).await;
        source.shutdown().await;
    })
}
