//! Where a self-issued CA and leaf are kept.

#[cfg(feature = "kubernetes")]
pub(crate) mod explain;
mod folder;
#[cfg(feature = "kubernetes")]
mod secret;

use std::future::Future;

#[cfg(feature = "kubernetes")]
pub use explain::explain;
pub use folder::FolderStore;
#[cfg(feature = "kubernetes")]
pub use secret::SecretStore;

use crate::error::Error;
use crate::self_issued::Texts;

/// What a store holds, and which version of it was read.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// `None`: nothing is stored.
    pub texts: Option<Texts>,
    /// What [`Store::save`] must still find, so that no write of another is overwritten.
    pub version: Option<String>,
}

/// A place for the four texts `ca.crt`, `ca.key`, `tls.crt` and `tls.key`.
pub trait Store: Send + Sync + 'static {
    /// What is meant, for messages: `Secret ns/name`, or a folder.
    fn place(&self) -> String;

    /// Reads what is stored.
    fn load(&self) -> impl Future<Output = Result<Stored, Error>> + Send;

    /// Stores `texts` over `version` (`None`: creates it). [`Error::Conflict`] when another was
    /// faster: load again.
    fn save(
        &self,
        texts: &Texts,
        version: Option<&str>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Begins to tell of changes by others.
    fn watch(&self) -> Changes;
}

/// Tells that something may have changed; several changes may come as one.
#[derive(Debug)]
pub struct Changes {
    notify: std::sync::Arc<tokio::sync::Notify>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Changes {
    /// `watch` runs until this is dropped, and calls [`tokio::sync::Notify::notify_one`] on each
    /// change.
    pub(crate) fn from_task<F>(watch: impl FnOnce(std::sync::Arc<tokio::sync::Notify>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let notify = std::sync::Arc::new(tokio::sync::Notify::new());
        let watcher = tokio::spawn(watch(std::sync::Arc::clone(&notify)));
        Self { notify, watcher }
    }

    /// Waits for the next change. Cancel-safe.
    pub async fn next(&mut self) {
        self.notify.notified().await;
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}
