//! The thread that writes.

use tokio::sync::{mpsc, oneshot};

use super::file::DataFile;
use crate::store::Change;

/// Changes that were made together, and who waits for them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) saved: oneshot::Sender<Result<(), String>>,
}

/// Writes batches until nobody sends any more.
///
/// After a failure the file may end in the middle of a line. Then nothing is added to it: the next
/// batch replaces it by a snapshot, which has all that could not be written. A snapshot may be
/// newer than batches that still wait; they are added to it all the same, as changes that were
/// made lead to the same store when they are made once more in the same order.
pub(super) fn run(
    mut file: DataFile,
    mut batches: mpsc::UnboundedReceiver<Batch>,
    snapshot: impl Fn() -> Option<Vec<Change>>,
) {
    let mut broken = false;
    let mut waiting = Vec::new();
    while batches.blocking_recv_many(&mut waiting, 1024) > 0 {
        let mut written = Ok(());
        if (broken || file.is_long())
            && let Some(changes) = snapshot()
        {
            written = file.replace(&changes);
        }
        written = written.and_then(|()| file.append(waiting.iter().flat_map(|it| &it.changes)));
        match &written {
            Ok(()) if broken => tracing::info!("the data file can be written again"),
            Err(error) if !broken => {
                let file = file.path().display();
                tracing::error!(%file, %error, "the data file cannot be written");
            }
            _ => {}
        }
        broken = written.is_err();
        let problem = written.err().map(|error| {
            format!("the data file cannot be written: {error}: try again when that is mended")
        });
        for batch in waiting.drain(..) {
            // Whoever waited may have left.
            let _ = batch.saved.send(problem.clone().map_or(Ok(()), Err));
        }
    }
}
