//! One line for each request, or for some of them: off unless it is asked for.
//!
//! A request that may be logged carries what was asked on a sheet ([`Asked`]) that its worker has
//! used before, so that one which is not logged in the end costs no allocation. A line is put into
//! words and written by a thread of its own; where that falls behind, lines are dropped and counted,
//! and no worker waits.

mod line;
mod sheet;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

pub(crate) use self::line::Line;
pub(crate) use self::sheet::{Asked, Sheets};
use crate::error::Error;
use crate::settings::{AccessLog as Settings, LogTarget};

/// How long the last lines may take when the proxy ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The log, for all threads.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    /// Whether there is one: all that a request looks at where there is none.
    on: AtomicBool,
    open: ArcSwapOption<Open>,
    /// Closed when the thread that writes has written all it was given.
    ended: Mutex<Option<Receiver<()>>>,
    counts: Arc<Counts>,
}

/// A log that is written.
#[derive(Debug)]
struct Open {
    settings: Settings,
    queue: SyncSender<Box<Line>>,
}

/// What became of lines.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl AccessLog {
    /// Logs as the settings say from now on. On error it goes on as before.
    pub(crate) fn configure(&self, settings: &Settings) -> Result<(), Error> {
        let open = self.open.load_full();
        if settings.to == LogTarget::Off {
            self.on.store(false, Ordering::Relaxed);
            self.open.store(None);
            return Ok(());
        }
        let same = open.filter(|open| {
            (&open.settings.to, open.settings.json) == (&settings.to, settings.json)
        });
        let queue = if let Some(same) = same {
            same.queue.clone()
        } else {
            let path = match &settings.to {
                LogTarget::File(path) => Some(path.clone()),
                LogTarget::Off | LogTarget::Stdout => None,
            };
            let started = writer::start(path, settings.json, Arc::clone(&self.counts));
            let (queue, ended) =
                started.map_err(|reason| Error::AccessLog { to: named(&settings.to), reason })?;
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            queue
        };
        self.open.store(Some(Arc::new(Open { settings: settings.clone(), queue })));
        self.on.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends it, when its last lines are written.
    pub(crate) fn finish(&self) {
        self.on.store(false, Ordering::Relaxed);
        self.open.store(None);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // Nothing is ever sent: what is waited for is the end of the sender.
            let _ = ended.recv_timeout(LAST_LINES);
        }
    }

    /// How a request that begins is to be logged; `None`: not at all.
    pub(crate) fn begins(&self, sheets: &Sheets) -> Option<Begun> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let open = self.open.load();
        let Settings { sample, errors, query, .. } = open.as_ref()?.settings;
        let sampled = sheets.draw() < sample;
        (sampled || errors).then_some(Begun { sampled, query })
    }

    /// Takes a line, if there is room for it.
    pub(crate) fn take(&self, line: Box<Line>) {
        let open = self.open.load();
        let Some(open) = open.as_ref() else { return };
        if open.queue.try_send(line).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of lines.
    pub(crate) fn lines(&self) -> [(&'static str, u64); 3] {
        let Counts { written, dropped, failed } = &*self.counts;
        [("written", written), ("dropped", dropped), ("failed", failed)]
            .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }
}

/// A request that may be logged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// However it ends; else only if it fails.
    pub(crate) sampled: bool,
    /// With what follows the `?` of its URL.
    pub(crate) query: bool,
}

fn named(to: &LogTarget) -> PathBuf {
    match to {
        LogTarget::File(path) => path.clone(),
        LogTarget::Off | LogTarget::Stdout => "stdout".into(),
    }
}
