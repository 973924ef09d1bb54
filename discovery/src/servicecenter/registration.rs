//! Keeps our service and instance registered, for as long as the proxy lives.

use std::sync::Arc;
use std::time::Duration;

use mesh::Status;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::api::Api;
use super::error::Error;
use super::options::OwnService;
use super::tracker::Trust;
use crate::pacing;

/// How our registration stands, for the admin page, and for whoever waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The id of the service, once it is registered.
    pub service_id: Option<Arc<str>>,
    /// The status that service-center has of our instance, once it is registered.
    pub status: Option<Status>,
    /// What went wrong last, while it is wrong.
    pub error: Option<String>,
    /// When it was last found that service-center had forgotten us.
    pub forgotten_at: Option<Instant>,
}

/// The registration, and what it takes to keep it.
pub(super) struct Registration {
    pub(super) api: Arc<Api>,
    pub(super) own: OwnService,
    pub(super) heartbeat: Duration,
    /// What our instance is to be.
    pub(super) wanted: watch::Receiver<Status>,
    pub(super) standing: watch::Sender<Standing>,
    /// Somebody suspects that it is gone.
    pub(super) suspicion: Arc<Notify>,
}

impl Registration {
    /// Registers, and again whenever it is found to be gone; unregisters when `stop` says so.
    pub(super) async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let service_id = tokio::select! {
                biased;
                () = stopped(&mut stop) => return self.leave().await,
                service_id = self.register() => service_id,
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return self.leave().await,
                () = self.live(&service_id) => {}
            }
            tracing::warn!(service_id, reason = "registration_gone", "registering again");
            let now = Instant::now();
            self.standing.send_modify(|standing| standing.forgotten_at = Some(now));
        }
    }

    /// Tries until it has worked.
    async fn register(&mut self) -> String {
        let mut delays = pacing::delays(LEAST, MOST);
        loop {
            match self.try_register().await {
                Ok(service_id) => return service_id,
                Err(error) => {
                    self.complain("register", &error);
                    sleep(delays.next().unwrap_or(MOST)).await;
                }
            }
        }
    }

    async fn try_register(&mut self) -> Result<String, Error> {
        let service_id = self.api.register_service(&self.own).await?;
        let mut said = None;
        if let Some(instance) = &self.own.instance {
            let status = *self.wanted.borrow_and_update();
            let seconds = self.heartbeat.as_secs().max(1);
            self.api.register_instance(&service_id, instance, status, seconds).await?;
            tracing::info!(service_id, instance_id = instance.id, ?status, "registered");
            said = Some(status);
        } else {
            tracing::info!(service_id, "registered, without an instance");
        }
        let id: Arc<str> = service_id.as_str().into();
        self.standing.send_modify(|standing| {
            standing.service_id = Some(id);
            standing.status = said;
            standing.error = None;
        });
        Ok(service_id)
    }

    /// Sends heartbeats and changes of status; ends when the registration is gone.
    async fn live(&mut self, service_id: &str) {
        let mut delays = pacing::delays(LEAST, MOST);
        let mut next = Instant::now() + self.heartbeat;
        loop {
            let status_changed = tokio::select! {
                () = sleep_until(next) => false,
                () = self.suspicion.notified() => false,
                changed = self.wanted.changed(), if self.own.instance.is_some() => changed.is_ok(),
            };
            let result = match (&self.own.instance, status_changed) {
                (Some(instance), true) => {
                    let status = *self.wanted.borrow_and_update();
                    let result = self.api.set_status(service_id, &instance.id, status).await;
                    if result.is_ok() {
                        tracing::info!(?status, "status said");
                        self.standing.send_modify(|standing| standing.status = Some(status));
                    } else {
                        self.wanted.mark_changed();
                    }
                    result
                }
                (Some(instance), false) => self.api.heartbeat(service_id, &instance.id).await,
                (None, _) => self.api.service_exists(service_id).await,
            };
            match result {
                Ok(()) => {
                    delays = pacing::delays(LEAST, MOST);
                    next = Instant::now() + self.heartbeat;
                    self.standing.send_if_modified(|standing| standing.error.take().is_some());
                }
                Err(error) if error.is_gone() => return,
                Err(error) => {
                    self.complain("heartbeat", &error);
                    let delay = delays.next().unwrap_or(MOST).min(self.heartbeat);
                    next = Instant::now() + delay;
                    // A change of status is tried again in its time, not at once.
                    sleep(delay.min(Duration::from_millis(500))).await;
                }
            }
        }
    }

    /// Takes our instance out. One try: a lease ends by itself.
    async fn leave(&self) {
        let service_id = self.standing.borrow().service_id.clone();
        if let (Some(service_id), Some(instance)) = (service_id, &self.own.instance) {
            match self.api.unregister(&service_id, &instance.id).await {
                Ok(()) => tracing::info!(instance_id = instance.id, "unregistered"),
                Err(error) => tracing::warn!(%error, reason = "unregister", "discovery"),
            }
        }
        self.standing.send_replace(Standing::default());
    }

    fn complain(&self, reason: &'static str, error: &Error) {
        let message = error.to_string();
        self.standing.send_if_modified(|standing| {
            let new = standing.error.as_ref() != Some(&message);
            if new {
                tracing::warn!(%error, reason, "discovery");
                standing.error = Some(message);
            }
            new
        });
    }
}

/// Whether what service-center says of others can be believed: it can as long as it knows us. Where
/// it does not, `suspicion` makes us register again. Others may be slower than we are, so for a
/// `grace` after that what they had is still not taken for gone.
pub(super) async fn trust(
    api: &Api,
    own: Option<&OwnService>,
    standing: &watch::Receiver<Standing>,
    suspicion: &Notify,
    grace: Duration,
) -> Trust {
    let standing = standing.borrow().clone();
    let (Some(own), Some(service_id)) = (own, standing.service_id) else {
        return Trust::Unverifiable;
    };
    let known = match &own.instance {
        Some(instance) => api.heartbeat(&service_id, &instance.id).await,
        None => api.service_exists(&service_id).await,
    };
    if let Err(error) = known {
        if error.is_gone() {
            suspicion.notify_one();
        }
        return Trust::Amnesia;
    }
    match standing.forgotten_at {
        Some(at) if at.elapsed() < grace => Trust::Unverifiable,
        _ => Trust::Full,
    }
}

/// Between failures, at least and at most.
const LEAST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(10);

/// Returns when `stop` says so, or nobody can say so any more.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
