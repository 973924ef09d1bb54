//! Elects the one replica that writes, by a Lease.
//!
//! A leader that could not renew its Lease for [`Candidacy::renew`] leads no more, some time before
//! others may take it, after [`Candidacy::duration`]. A write that is under way then still cannot
//! undo the next leader's: every write sends the version that was read before it.
//!
//! Needs `get, list, watch, update` on the Lease (list and watch name it by field selector, so
//! `resourceNames` may restrict them), and `create`.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use certs::Backoff;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PartialObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::lease::{Move, Seen, made};
use super::{Error, call};

/// Who stands for election, and for how long a leader may be silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidacy {
    /// Where the Lease is: the injector's own namespace.
    pub namespace: String,
    /// The Lease.
    pub name: String,
    /// This replica; no other may have the same.
    pub identity: String,
    /// A leader that was not heard of for so long is gone. Whole seconds.
    pub duration: Duration,
    /// A leader that could not renew for so long leads no more. Below `duration`.
    pub renew: Duration,
    /// How often a leader renews, and others look.
    pub retry: Duration,
}

impl Default for Candidacy {
    /// The times that Kubernetes' own components take.
    fn default() -> Self {
        Self {
            namespace: "sidecar-injector".into(),
            name: "sidecar-injector".into(),
            identity: "injector".into(),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// How the election stands, as this replica sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this replica is the one that writes.
    pub leading: bool,
    /// Since when it does, or does not.
    pub since: SystemTime,
    /// Who held the Lease when it was last read.
    pub holder: Option<String>,
    /// Why the Lease could not be read or written; `None` when it could.
    pub error: Option<String>,
}

/// A candidate, until it resigns. Dropped, it ends without a word: others wait until its Lease has
/// run out.
#[derive(Debug)]
pub struct Election {
    leads: watch::Receiver<bool>,
    leadership: watch::Receiver<Leadership>,
    resign: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Election {
    /// Stands for election. Nothing is sent yet.
    pub fn stand(client: Client, candidacy: Candidacy) -> Self {
        let (said, leads) = watch::channel(false);
        let (state, leadership) = watch::channel(Leadership {
            leading: false,
            since: SystemTime::now(),
            holder: None,
            error: None,
        });
        let (resign, resigned) = oneshot::channel();
        let api = Api::namespaced(client, &candidacy.namespace);
        let candidate = Candidate { api, candidacy, seen: None, renewed: None, leads: said, state };
        let task = tokio::spawn(candidate.run(resigned));
        Self { leads, leadership, resign: Some(resign), task }
    }

    /// Whether this replica may write; changes are announced.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// How the election stands; changes are announced.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Writes no more, and gives the Lease away if it is ours: another takes it at once.
    pub async fn resign(mut self) {
        self.resign.take();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Candidate {
    api: Api<Lease>,
    candidacy: Candidacy,
    seen: Option<Seen>,
    /// When the last renewal that succeeded was begun, while leading.
    renewed: Option<Instant>,
    leads: watch::Sender<bool>,
    state: watch::Sender<Leadership>,
}

impl Candidate {
    async fn run(mut self, mut resigned: oneshot::Receiver<()>) {
        // An event only says that it is time to look: metadata is enough.
        let watched: Api<PartialObjectMeta<Lease>> =
            Api::namespaced(self.api.clone().into_client(), &self.candidacy.namespace);
        let patience = Backoff::new(Duration::from_millis(200), self.candidacy.renew);
        let mut events =
            pin!(watcher::watch_object(watched, &self.candidacy.name).backoff(patience));
        // Drawn between half of it and all, so that candidates do not ask in step.
        let mut pause = Backoff::new(self.candidacy.retry, self.candidacy.retry);
        loop {
            let step = async {
                self.attempt_in_time().await;
                let leading = self.renewed.is_some();
                let pause = pause.delay().min(self.left());
                // A leader learns nothing from its own renewals; others hear of a free Lease.
                tokio::select! {
                    _ = events.next(), if !leading => {}
                    () = sleep(pause) => {}
                }
            };
            tokio::select! {
                biased;
                _ = &mut resigned => break,
                () = step => {}
            }
        }
        self.release().await;
    }

    /// How long this replica still leads if nothing succeeds; while it does not, how long one
    /// attempt may take.
    fn left(&self) -> Duration {
        let renew = self.candidacy.renew;
        self.renewed.map_or(renew, |at| renew.saturating_sub(at.elapsed()))
    }

    async fn attempt_in_time(&mut self) {
        let left = self.left();
        let outcome = timeout(left, self.attempt()).await;
        let error = match outcome {
            Ok(Ok(())) => None,
            // Another was faster: the next look tells what it did.
            Ok(Err(error)) if error.is_conflict() => self.state.borrow().error.clone(),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(Error::Lease { within: left }.to_string()),
        };
        if self.left().is_zero() {
            self.lose("renew_deadline");
        }
        self.publish(error);
    }

    /// Reads the Lease and does what is due. It counts as ours from before it was written.
    async fn attempt(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let Candidacy { name, identity, duration, .. } = self.candidacy.clone();
        let found = call("reading the Lease", self.api.get_opt(&name)).await?;
        let Some(lease) = found else {
            let lease = made(&name, &identity, duration);
            let params = PostParams::default();
            let lease = call("creating the Lease", self.api.create(&params, &lease)).await?;
            self.seen = Some(Seen::read(None, lease, begun));
            self.lead(begun, "created");
            return Ok(());
        };
        let seen = Seen::read(self.seen.as_ref(), lease, Instant::now());
        let reason = match seen.holder() {
            None => "released",
            Some(holder) if holder == identity => "ours",
            Some(_) => "expired",
        };
        let step = seen.next(&identity, duration, Instant::now());
        let lease = seen.written(step, &identity, duration);
        self.seen = Some(seen);
        if step == Move::Wait {
            self.lose("taken");
            return Ok(());
        }
        let lease = self.replace("writing the Lease", &lease).await?;
        self.seen = Some(Seen::read(None, lease, begun));
        self.lead(begun, reason);
        Ok(())
    }

    async fn replace(&self, doing: &'static str, lease: &Lease) -> Result<Lease, Error> {
        let params = PostParams::default();
        call(doing, self.api.replace(&self.candidacy.name, &params, lease)).await
    }

    fn lead(&mut self, since: Instant, reason: &'static str) {
        if self.renewed.replace(since).is_none() {
            let identity = &self.candidacy.identity;
            tracing::info!(reason, identity, "leading: this replica writes certificates");
            self.leads.send_replace(true);
        }
    }

    fn lose(&mut self, reason: &'static str) {
        if self.renewed.take().is_some() {
            // Before anybody else may lead.
            self.leads.send_replace(false);
            let holder = self.seen.as_ref().and_then(Seen::holder);
            tracing::warn!(reason, holder, "leading no more: this replica writes no certificates");
        }
    }

    fn publish(&self, error: Option<String>) {
        let leading = self.renewed.is_some();
        let holder = self.seen.as_ref().and_then(Seen::holder).map(String::from);
        self.state.send_if_modified(|state| {
            if error.is_some() && error != state.error {
                tracing::warn!(error, leading, "Lease");
            }
            let before = state.clone();
            if leading != state.leading {
                (state.leading, state.since) = (leading, SystemTime::now());
            }
            (state.holder, state.error) = (holder, error);
            *state != before
        });
    }

    /// Gives away what is ours. Where that fails, others wait until it has run out.
    async fn release(mut self) {
        if self.renewed.is_none() {
            return;
        }
        self.lose("resigned");
        self.publish(None);
        match timeout(self.candidacy.renew, self.give_away()).await {
            Ok(Ok(())) => tracing::info!("Lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "Lease not released: it runs out by itself"),
            Err(_) => tracing::warn!("Lease not released in time: it runs out by itself"),
        }
    }

    async fn give_away(&self) -> Result<(), Error> {
        loop {
            let read = self.api.get(&self.candidacy.name);
            let found = call("reading the Lease", read).await?;
            let seen = Seen::read(None, found, Instant::now());
            if seen.holder() != Some(&self.candidacy.identity) {
                return Ok(());
            }
            match self.replace("releasing the Lease", &seen.released()).await {
                // A renewal was still under way.
                Err(error) if error.is_conflict() => {}
                done => return done.map(drop),
            }
        }
    }
}
