//! Keeps an identity current and serves it: from files that others write, or as its own CA.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::backoff::{Backoff, Pace};
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::error::Error;
use crate::files::Files;
use crate::identity::Identity;
use crate::names::Names;
use crate::opened_keys::OpenedKeys;
use crate::replica::Replica;
use crate::resolver::Resolver;
use crate::self_issued::{Found, Material, Step, Trust, follow, next};
use crate::store::{Changes, Store};
use crate::terms::Terms;

/// The longest sleep between two looks at the clock, which may jump.
const LOOK: Duration = Duration::from_mins(1);
/// How often a folder is read where the kernel reports no changes.
const POLL: Duration = Duration::from_secs(10);

/// What is served, and how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The certificate handed to the next client; `None` before the first.
    pub leaf: Option<Certificate>,
    /// What clients are to trust: `caBundle`. `None` where nobody told.
    pub bundle: Option<Bundle>,
    /// How often another identity or bundle was put in service.
    pub generation: u64,
    /// What goes wrong now, with its remedy; the last good identity is served on.
    pub error: Option<String>,
}

/// A task that keeps an identity current. Dropped, it ends at once; see [`Self::stop`].
#[derive(Debug)]
pub struct Serving {
    resolver: Arc<Resolver>,
    status: watch::Receiver<Status>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Follows `files`. What is half-written, does not belong together or is not signed by the CA
    /// beside it leaves the last good one in service; without one it is served, as some client may
    /// still take it. Either way [`Status::error`] says so.
    pub fn of_files(files: Files) -> Self {
        Self::spawn(|mut publisher, mut stop| async move {
            let mut changes = files.folder.watch(POLL);
            let mut backoff = Backoff::new(Duration::from_millis(100), POLL);
            let mut opened = OpenedKeys::new();
            loop {
                let loaded;
                (loaded, opened) = load_aside(files.clone(), opened).await;
                let wait = match loaded {
                    Ok((identity, bundle)) => {
                        backoff.reset();
                        match Files::check(&identity, bundle.as_ref(), SystemTime::now()) {
                            Ok(()) => publisher.publish(&identity, bundle),
                            Err(objection) => publisher.doubt(&identity, bundle, &objection),
                        }
                        LOOK
                    }
                    Err(error) => {
                        publisher.fail(&error);
                        backoff.delay()
                    }
                };
                if wait_for(&mut changes, None, &mut stop, wait).await {
                    return;
                }
            }
        })
    }

    /// Is its own CA: loads or makes CA and leaf in `store`, renews them by `terms`, and heals
    /// what others delete or damage there. It is the only one that writes there.
    pub fn of_store(store: impl Store, names: Names, terms: Terms) -> Self {
        Self::keep(store, names, terms, None)
    }

    /// [`Self::of_store`] as one of several that share `store`. Only the one that `replica` says so
    /// writes; the others take up what it has written. What is deleted or damaged they serve on,
    /// and heal once it is their turn to write.
    pub fn of_shared_store(
        store: impl Store,
        names: Names,
        terms: Terms,
        replica: Replica,
    ) -> Self {
        Self::keep(store, names, terms, Some(replica))
    }

    fn keep(store: impl Store, names: Names, terms: Terms, mut replica: Option<Replica>) -> Self {
        Self::spawn(|mut publisher, mut stop| async move {
            let mut changes = store.watch();
            let mut backoff = Backoff::new(Duration::from_millis(200), POLL);
            let mut pace = Pace::new(Duration::from_millis(100), POLL.min(terms.longest_rest()));
            let mut served = None;
            loop {
                let (writes, trust) =
                    replica.as_mut().map_or((true, Trust::Assumed), Replica::told);
                let step = if writes {
                    advance(&store, served.as_ref(), &trust, &names, &terms).await
                } else {
                    take_up(&store, &terms).await
                };
                let wait = match step {
                    Ok(Progress::Current { material, until }) => {
                        backoff.reset();
                        publisher.publish(&material.identity, Some(material.bundle.clone()));
                        served = Some(*material);
                        until.duration_since(SystemTime::now()).unwrap_or_default().min(LOOK)
                    }
                    // What was saved is ours to serve at once; then it is read again to be sure.
                    Ok(Progress::Stored(material)) => {
                        publisher.publish(&material.identity, Some(material.bundle.clone()));
                        served = Some(*material);
                        if ends_within(&mut stop, pace.rest(Instant::now())).await {
                            return;
                        }
                        Duration::ZERO
                    }
                    Err(error @ Error::Conflict { .. }) => {
                        tracing::debug!(%error, "another writer was faster");
                        backoff.delay()
                    }
                    Err(error) => {
                        publisher.fail(&error);
                        backoff.delay()
                    }
                };
                if wait_for(&mut changes, replica.as_mut(), &mut stop, wait).await {
                    return;
                }
            }
        })
    }

    fn spawn<F>(run: impl FnOnce(Publisher, oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let resolver = Resolver::empty();
        let (sender, status) = watch::channel(Status::default());
        let (stop, stopped) = oneshot::channel();
        let publisher =
            Publisher { resolver: Arc::clone(&resolver), status: sender, in_doubt: false };
        let task = tokio::spawn(run(publisher, stopped));
        Self { resolver, status, stop: Some(stop), task }
    }

    /// What goes into [`crate::server_config`].
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// What is served and how it stands; changes are announced.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Lets the present step end (each has a deadline), then ends. The resolver serves on.
    pub async fn stop(mut self) {
        self.stop.take();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Loads files where it holds nobody up: opening a key may take seconds.
async fn load_aside(
    files: Files,
    mut opened: OpenedKeys,
) -> (Result<(Identity, Option<Bundle>), Error>, OpenedKeys) {
    let load = move || {
        let loaded = files.load(&mut opened);
        opened.forget_unused();
        (loaded, opened)
    };
    match spawn_blocking(load).await {
        Ok(loaded) => loaded,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// How far one step came.
enum Progress {
    Current { material: Box<Material>, until: SystemTime },
    Stored(Box<Material>),
}

async fn advance(
    store: &impl Store,
    served: Option<&Material>,
    trust: &Trust,
    names: &Names,
    terms: &Terms,
) -> Result<Progress, Error> {
    let place = store.place();
    let (found, version) = read(store).await?;
    let problems = (!found.problems.is_empty()).then(|| found.problems.join("; "));
    match next(found, served, trust, names, terms, SystemTime::now())? {
        Step::Keep { material, until } => {
            Ok(Progress::Current { material: Box::new(material), until })
        }
        Step::Store { material, because } => {
            store.save(&material.to_texts(), version.as_deref()).await?;
            let leaf = material.identity.leaf();
            tracing::info!(%place, because, problems, serial = leaf.serial(), "certificates stored");
            Ok(Progress::Stored(Box::new(material)))
        }
    }
}

/// One step of a server that must not write. It looks often enough that, even without being told of
/// changes, it has a new CA's leaf before the old CA goes.
async fn take_up(store: &impl Store, terms: &Terms) -> Result<Progress, Error> {
    let (found, _) = read(store).await?;
    let now = SystemTime::now();
    let Some(material) = follow(found, now) else {
        return Err(Error::Unwritten { place: store.place() });
    };
    let until = now + terms.settle / 2;
    Ok(Progress::Current { material: Box::new(material), until })
}

async fn read(store: &impl Store) -> Result<(Found, Option<String>), Error> {
    let stored = store.load().await?;
    let found = stored.texts.as_ref().map(|texts| Found::read(texts, &store.place()));
    Ok((found.unwrap_or_default(), stored.version))
}

/// Waits, whatever changes; `true` when it is time to end.
async fn ends_within(stop: &mut oneshot::Receiver<()>, wait: Duration) -> bool {
    tokio::select! {
        biased;
        _ = stop => true,
        () = sleep(wait) => false,
    }
}

/// Waits for a change or the end of `wait`; `true` when it is time to end.
async fn wait_for(
    changes: &mut Changes,
    replica: Option<&mut Replica>,
    stop: &mut oneshot::Receiver<()>,
    wait: Duration,
) -> bool {
    let told = async {
        match replica {
            Some(replica) => replica.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = stop => true,
        () = changes.next() => false,
        () = told => false,
        () = sleep(wait) => false,
    }
}

/// Writes resolver and status together.
struct Publisher {
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
    /// A client would object to what is in service.
    in_doubt: bool,
}

impl Publisher {
    fn publish(&mut self, identity: &Identity, bundle: Option<Bundle>) {
        self.in_doubt = false;
        self.status.send_if_modified(|status| {
            let served = self.serve(status, identity, bundle);
            status.error.take().is_some() || served
        });
    }

    /// Serves what a client would object to only where nothing better is in service.
    fn doubt(&mut self, identity: &Identity, bundle: Option<Bundle>, objection: &Error) {
        self.in_doubt |= self.status.borrow().leaf.is_none();
        self.status.send_if_modified(|status| {
            let served = self.in_doubt && self.serve(status, identity, bundle);
            complain(status, objection) || served
        });
    }

    fn fail(&self, error: &Error) {
        self.status.send_if_modified(|status| complain(status, error));
    }

    /// Puts another identity or bundle in service; `false` when it is the one already.
    fn serve(&self, status: &mut Status, identity: &Identity, bundle: Option<Bundle>) -> bool {
        let leaf = identity.leaf();
        if status.leaf.as_ref() == Some(leaf) && status.bundle == bundle {
            return false;
        }
        self.resolver.publish(identity);
        status.leaf = Some(leaf.clone());
        status.bundle = bundle;
        status.generation += 1;
        tracing::info!(subject = leaf.subject(), serial = leaf.serial(), "certificate in service");
        true
    }
}

/// Takes down what is wrong; `false` when it was known.
fn complain(status: &mut Status, error: &Error) -> bool {
    let message = error.to_string();
    if status.error.as_ref() == Some(&message) {
        return false;
    }
    tracing::warn!(error = %message, "certificates");
    status.error = Some(message);
    true
}
