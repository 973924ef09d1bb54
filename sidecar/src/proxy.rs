//! The whole proxy: how it is put together, how it is told something else, and how it ends.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use discovery::Source;
use discovery::ads::Ads;
use discovery::center::Held;
use discovery::servicecenter::Standing;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::admin;
use crate::configuration::Reload;
use crate::error::Error;
use crate::lifecycle::{GOODBYE, Lifecycle, Phase};
use crate::listener::{Addresses, accept, bind, listen};
use crate::peers;
use crate::profiling;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::spans;
use crate::tls::Tls;
use crate::worker::{Message, Remote};

/// How long the end of a proxy may be held up by spans that are still to be delivered.
const FLUSH: Duration = Duration::from_secs(5);

/// A running proxy. Dropped, it goes on; [`Proxy::shutdown`] ends it.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    workers: Arc<[Remote]>,
    threads: Vec<thread::JoinHandle<()>>,
    acceptors: Vec<JoinHandle<()>>,
    /// Delivers spans.
    exporter: JoinHandle<()>,
    /// What ends with the proxy and has nothing to finish: following the source, the admin port.
    helpers: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Opens the listeners and starts the workers. Call it within a tokio runtime, which then
    /// carries what is no traffic: accepting, and following the source.
    pub fn start(settings: Settings, source: Arc<dyn Source>) -> Result<Self, Error> {
        let tls = Arc::new(Tls::load(&settings)?);
        Self::start_with(settings, source, tls)
    }

    /// As [`Self::start`], with certificates that somebody else uses too.
    pub(crate) fn start_with(
        settings: Settings,
        source: Arc<dyn Source>,
        tls: Arc<Tls>,
    ) -> Result<Self, Error> {
        raise_file_limit();
        let (mut addresses, listeners) = listen(&settings)?;
        let admin = admin::listen(&settings)?;
        addresses.admin = admin.iter().filter_map(|(open, _)| open.local_addr().ok()).collect();
        let pprof = settings.admin.pprof;
        let profiles = pprof.map(|at| bind(at, "profiles (pprof.listen)")).transpose()?;
        addresses.profiles = profiles.as_ref().and_then(|open| open.local_addr().ok());
        let shared = Arc::new(Shared::new(settings, source, tls, addresses)?);
        if !shared.addresses.provider.is_empty() && shared.local.allows_any() {
            tracing::warn!(
                "neither SERVICE_PORTS nor APP_PORTS says which ports the application has: \
                 requests from others may go to any"
            );
        }
        let mut remotes = Vec::new();
        let mut threads = Vec::new();
        for index in 0..shared.workers {
            let (remote, thread) =
                Remote::start(index, Arc::clone(&shared)).map_err(Error::Worker)?;
            remotes.push(remote);
            threads.push(thread);
        }
        let _ = shared.censuses.set(remotes.iter().map(|it| Arc::clone(it.census())).collect());
        let workers: Arc<[Remote]> = remotes.into();
        let mut helpers = vec![
            tokio::spawn(Arc::clone(&shared.plans).follow()),
            tokio::spawn(Arc::clone(&shared.tls).follow()),
        ];
        helpers.extend(
            admin
                .into_iter()
                .map(|(open, reach)| tokio::spawn(admin::serve(open, reach, Arc::clone(&shared)))),
        );
        helpers.extend(profiles.map(|open| tokio::spawn(profiling::serve(open))));
        let exporter = spans::export(Arc::clone(&shared.spans), Arc::clone(&shared.tls));
        let exporter = tokio::spawn(exporter);
        let acceptors = listeners.into_iter().map(|(listener, port)| {
            tokio::spawn(accept(listener, port, Arc::clone(&workers), Arc::clone(&shared)))
        });
        let acceptors = acceptors.collect();
        Ok(Self { shared, workers, threads, acceptors, exporter, helpers })
    }

    /// Takes over other settings: policy, limits and breaker from the next request on, the rest of
    /// what connections are made with from the next connection. What is read at the start only is
    /// kept; its names are returned where it differs.
    pub fn reconfigure(&self, settings: Settings) -> Vec<&'static str> {
        self.shared.reconfigure(settings)
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        Settings::clone(&self.shared.settings())
    }

    /// Takes over whatever settings come, as [`Self::reconfigure`] does.
    pub fn follow_settings(&mut self, mut changes: watch::Receiver<Arc<Settings>>) {
        let shared = Arc::clone(&self.shared);
        self.helpers.push(tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let new = Settings::clone(&changes.borrow_and_update());
                let shared = Arc::clone(&shared);
                // Files are read, and keys opened.
                let taken_over = tokio::task::spawn_blocking(move || shared.reconfigure(new)).await;
                if let Err(error) = taken_over {
                    tracing::error!(%error, "other settings could not be taken over");
                }
            }
        }));
    }

    /// Adds to what `/metrics` on the admin port says.
    pub fn measure(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.shared.more_metrics.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the admin port show what the configuration on the disk says. The first word counts.
    pub fn show_configuration(&self, reloads: watch::Receiver<Reload>) {
        let _ = self.shared.configuration.set(reloads);
    }

    /// Lets the admin port show how a configuration center does. The first word counts.
    pub fn show_center(&self, held: watch::Receiver<Held>) {
        let _ = self.shared.center.set(held);
    }

    /// Lets `/v1/mesher/health` say how the registration stands. The first word counts.
    pub fn show_standing(&self, standing: watch::Receiver<Standing>) {
        let _ = self.shared.standing.set(standing);
    }

    /// Lets the admin port show what a control plane says. The first word counts.
    pub(crate) fn show_xds(&self, client: Arc<Ads>) {
        let _ = self.shared.xds.set(client);
    }

    /// Finds out which endpoints have a proxy of ours beside them: a control plane does not say.
    pub(crate) fn find_peers(&mut self) {
        self.helpers.push(tokio::spawn(peers::follow(Arc::clone(&self.shared))));
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// Its phase. Whoever registers the instance follows it: DOWN while draining, deleted from
    /// closing on.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    /// Stops being ready, and returns when others have had the time to learn of it. Requests are
    /// served as before, and their clients asked to take another connection.
    pub async fn drain(&self) {
        self.lifecycle().enter(Phase::Draining);
        sleep(GOODBYE).await;
    }

    /// Empties and closes the listeners, answers what is in flight, to the deadline of
    /// [`crate::settings::Limits::drain_timeout`], and ends the workers.
    pub async fn shutdown(self) {
        self.lifecycle().enter(Phase::Closing);
        for acceptor in self.acceptors {
            // It ends by itself; a panic in it was logged by the hook.
            let _ = acceptor.await;
        }
        for worker in &*self.workers {
            worker.send(Message::Finish);
        }
        let (threads, shared) = (self.threads, Arc::clone(&self.shared));
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            shared.access_log.finish();
        });
        let _ = ended.await;
        // With the workers, the last spans have come.
        self.shared.spans.close();
        if timeout(FLUSH, self.exporter).await.is_err() {
            tracing::warn!("the last spans did not reach the collector in time");
        }
        self.shared.lifecycle.enter(Phase::Closed);
        for helper in self.helpers {
            helper.abort();
        }
    }
}

/// Every connection through the proxy takes two descriptors; the usual soft limit of 1024 is there
/// for programs that use `select`.
fn raise_file_limit() {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, hard)| setrlimit(limit, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files stays as it was");
    }
}
