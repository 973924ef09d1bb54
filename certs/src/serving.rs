//! Keeps an identity current and serves it: from files that others write, or as its own CA.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::error::Error;
use crate::folder::Folder;
use crate::identity::Identity;
use crate::names::Names;
use crate::resolver::Resolver;
use crate::self_issued::{Found, Material, Step, next};
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

/// A folder that somebody else keeps filled, for example a mounted Secret of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder.
    pub folder: Folder,
    /// File of the certificate chain, leaf first: usually `tls.crt`.
    pub certificate: String,
    /// File of its private key: usually `tls.key`.
    pub key: String,
    /// File of the CA certificates for `caBundle`, usually `ca.crt`; `None`: it is not managed.
    pub ca: Option<String>,
}

impl Files {
    /// `tls.crt` and `tls.key` of `folder`.
    pub fn of_folder(folder: impl Into<std::path::PathBuf>) -> Self {
        Self {
            folder: Folder::new(folder),
            certificate: "tls.crt".into(),
            key: "tls.key".into(),
            ca: None,
        }
    }

    /// Reads the pair, and the bundle if one is configured.
    pub fn load(&self) -> Result<(Identity, Option<Bundle>), Error> {
        let chain = self.folder.read(&self.certificate)?;
        let key = zeroize::Zeroizing::new(self.folder.read(&self.key)?);
        let place = self
            .folder
            .path()
            .join(&self.certificate)
            .display()
            .to_string();
        let identity = Identity::from_pem(&chain, &key, &place)?;
        let Some(ca) = &self.ca else {
            return Ok((identity, None));
        };
        let place = self.folder.path().join(ca).display().to_string();
        Ok((
            identity,
            Some(Bundle::from_pem(&self.folder.read(ca)?, &place)?),
        ))
    }
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
    /// Follows `files`. A half-written or mismatched pair leaves the last good one in service.
    pub fn of_files(files: Files) -> Self {
        Self::spawn(|mut publisher, mut stop| async move {
            let mut changes = files.folder.watch(POLL);
            let mut backoff = Backoff::new(Duration::from_millis(100), POLL);
            loop {
                let wait = match files.load() {
                    Ok((identity, bundle)) => {
                        backoff.reset();
                        publisher.publish(&identity, bundle);
                        LOOK
                    }
                    Err(error) => {
                        publisher.fail(&error);
                        backoff.delay()
                    }
                };
                if wait_for(&mut changes, &mut stop, wait).await {
                    return;
                }
            }
        })
    }

    /// Is its own CA: loads or makes CA and leaf in `store`, renews them by `terms`, and heals
    /// what others delete or damage there.
    pub fn of_store(store: impl Store, names: Names, terms: Terms) -> Self {
        Self::spawn(|mut publisher, mut stop| async move {
            let mut changes = store.watch();
            let mut backoff = Backoff::new(Duration::from_millis(200), POLL);
            let mut served = None;
            loop {
                let wait = match advance(&store, served.as_ref(), &names, &terms).await {
                    Ok(Progress::Current { material, until }) => {
                        backoff.reset();
                        publisher.publish(&material.identity, Some(material.bundle.clone()));
                        served = Some(*material);
                        until
                            .duration_since(SystemTime::now())
                            .unwrap_or_default()
                            .min(LOOK)
                    }
                    // What was saved is ours to serve at once; the store is read again to be sure,
                    // and not in a hurry should something there undo every write.
                    Ok(Progress::Stored(material)) => {
                        publisher.publish(&material.identity, Some(material.bundle.clone()));
                        served = Some(*material);
                        backoff.delay()
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
                if wait_for(&mut changes, &mut stop, wait).await {
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
        let publisher = Publisher {
            resolver: Arc::clone(&resolver),
            status: sender,
        };
        let task = tokio::spawn(run(publisher, stopped));
        Self {
            resolver,
            status,
            stop: Some(stop),
            task,
        }
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

/// How far one step came.
enum Progress {
    Current {
        material: Box<Material>,
        until: SystemTime,
    },
    Stored(Box<Material>),
}

async fn advance(
    store: &impl Store,
    served: Option<&Material>,
    names: &Names,
    terms: &Terms,
) -> Result<Progress, Error> {
    let place = store.place();
    let stored = store.load().await?;
    let found = stored
        .texts
        .as_ref()
        .map(|t| Found::read(t, &place))
        .unwrap_or_default();
    let problems = found.problems.join("; ");
    match next(found, served, names, terms, SystemTime::now())? {
        Step::Keep { material, until } => Ok(Progress::Current {
            material: Box::new(material),
            until,
        }),
        Step::Store { material, because } => {
            store
                .save(&material.to_texts(), stored.version.as_deref())
                .await?;
            let leaf = material.identity.leaf();
            tracing::info!(%place, because, problems, serial = leaf.serial(), "certificates stored");
            Ok(Progress::Stored(Box::new(material)))
        }
    }
}

/// Waits for a change or the end of `wait`; `true` when it is time to end.
async fn wait_for(changes: &mut Changes, stop: &mut oneshot::Receiver<()>, wait: Duration) -> bool {
    tokio::select! {
        biased;
        _ = stop => true,
        () = changes.next() => false,
        () = sleep(wait) => false,
    }
}

/// Writes resolver and status together.
struct Publisher {
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
}

impl Publisher {
    fn publish(&mut self, identity: &Identity, bundle: Option<Bundle>) {
        self.status.send_if_modified(|status| {
            let same = status.leaf.as_ref() == Some(identity.leaf()) && status.bundle == bundle;
            if !same {
                self.resolver.publish(identity);
                status.leaf = Some(identity.leaf().clone());
                status.bundle = bundle;
                status.generation += 1;
                let leaf = identity.leaf();
                tracing::info!(
                    subject = leaf.subject(),
                    serial = leaf.serial(),
                    "certificate in service"
                );
            }
            status.error.take().is_some() || !same
        });
    }

    fn fail(&mut self, error: &Error) {
        let message = error.to_string();
        self.status.send_if_modified(|status| {
            if status.error.as_deref() == Some(message.as_str()) {
                return false;
            }
            tracing::warn!(error = %message, "certificates cannot be renewed; the last good are served on");
            status.error = Some(message);
            true
        });
    }
}
