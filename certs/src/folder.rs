//! A folder whose files others replace: a mounted Secret or ConfigMap, or plain files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::error::Error;
use crate::store::Changes;

/// How long to let a burst of events end: a kubelet and an editor write several times.
const QUIET: Duration = Duration::from_millis(50);

/// A folder to be watched as a whole: Kubernetes replaces a mounted volume by renaming the symlink
/// `..data` in it, which no watch on a file ever sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder `path`; it need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the file `name` of it.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        read(&self.0.join(name))
    }

    /// Tells of changes in the folder within moments where the kernel reports them, and at the
    /// latest every `poll`, for file systems that do not, and for a folder that is made or
    /// replaced later. A tick is no proof of a change: compare what you read.
    pub fn watch(&self, poll: Duration) -> Changes {
        let path = self.0.clone();
        Changes::from_task(move |changed| async move {
            let events = Arc::new(Notify::new());
            let mut watched = None;
            loop {
                rearm(&path, &mut watched, &events);
                let reported = tokio::time::timeout(poll, events.notified()).await.is_ok();
                if reported {
                    tokio::time::sleep(QUIET).await;
                }
                changed.notify_one();
            }
        })
    }
}

/// Reads a file; the error names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// One kernel watch, on the folder that stood at the path when it was made.
struct Watched {
    inode: (u64, u64),
    _watcher: notify::RecommendedWatcher,
}

/// Watches the folder that is at `path` now, unless it is the one watched already.
fn rearm(path: &Path, watched: &mut Option<Watched>, events: &Arc<Notify>) {
    let inode = fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    if watched.as_ref().map(|w| w.inode) == inode {
        return;
    }
    *watched = inode.and_then(|inode| {
        let events = Arc::clone(events);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading a file is an event too, and ours would call for the next.
                if event.is_ok_and(|e| !e.kind.is_access()) {
                    events.notify_one();
                }
            })
            .ok()?;
        watcher.watch(path, RecursiveMode::NonRecursive).ok()?;
        Some(Watched { inode, _watcher: watcher })
    });
}
