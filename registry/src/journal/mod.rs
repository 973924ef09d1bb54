//! The data file: every change of the store, so that it survives a restart.
//!
//! It is a log of lines. A command is answered when its changes are on the disk; commands that
//! come together share one write and one sync. When the log has grown to several times what it
//! says, and at each start, it is replaced as a whole by a snapshot: written beside it, synced,
//! renamed. So whenever the machine stops, the file is the old one, the new one, or a log whose
//! last line is not whole, which is left out when it is read: nobody was told that it counted.

mod file;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::live::{self, Live};
use crate::store::{Change, Limits, Store};
use file::DataFile;
use writer::Batch;

/// Takes changes to the data file. Dropped, it writes what it has and ends.
#[derive(Debug)]
pub(crate) struct Journal {
    batches: mpsc::UnboundedSender<Batch>,
}

/// The promise that changes are on the disk.
#[derive(Debug)]
pub(crate) struct Saved(oneshot::Receiver<Result<(), String>>);

impl Saved {
    /// Returns when they are, or says why they are not.
    pub(crate) async fn wait(self) -> Result<(), String> {
        self.0.await.unwrap_or_else(|_| Err("the data file is closed".into()))
    }
}

impl Journal {
    /// Notes changes, in the order of calls.
    pub(crate) fn append(&self, changes: Vec<Change>) -> Saved {
        let (saved, waiting) = oneshot::channel();
        // If nobody receives it, `saved` is dropped, and the wait says so.
        let _ = self.batches.send(Batch { changes, saved });
        Saved(waiting)
    }
}

/// The thread that writes; joined, everything is on the disk.
pub(crate) type Writer = std::thread::JoinHandle<()>;

/// Reads the data file at `path`, or begins an empty one, and keeps it from then on.
pub(crate) fn open(path: &Path, limits: Limits) -> Result<(Arc<Live>, Writer), Error> {
    let (mut file, changes) = DataFile::open(path)?;
    let began = Instant::now();
    let store = Store::restore(limits, changes, live::now(began));
    let usage = store.usage();
    file.replace(&store.snapshot()).map_err(|source| Error::Data {
        doing: "write",
        path: path.to_owned(),
        source,
    })?;
    tracing::info!(
        file = %path.display(),
        services = usage.services,
        instances = usage.instances,
        "read the data file; every instance has a whole lease to report again"
    );
    let live = Arc::new(Live::since(store, began));
    let (batches, received) = mpsc::unbounded_channel();
    let snapshot = {
        let live = Arc::downgrade(&live);
        move || live.upgrade().map(|live| live.read(Store::snapshot))
    };
    let writer = std::thread::Builder::new()
        .name("data-file".into())
        .spawn(move || writer::run(file, received, snapshot))
        .map_err(|source| Error::Data { doing: "write", path: path.to_owned(), source })?;
    live.keep(Journal { batches });
    Ok((live, writer))
}

#[cfg(test)]
mod tests;
