//! The thread that writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Counts, Line};

/// Lines that wait to be written; further ones are dropped.
const QUEUE: usize = 4096;
/// After it has written, the thread rests, and is not to be woken: so the system is bothered a
/// hundred times a second at the most, however many requests there are.
const REST: Duration = Duration::from_millis(10);
/// Bytes that are written at once.
const BLOCK: usize = 64 << 10;
/// How often to look whether somebody has moved the file away, to keep it.
const LOOK: Duration = Duration::from_secs(1);

/// Where lines go.
struct Output {
    path: Option<PathBuf>,
    file: Option<File>,
    looked: Instant,
}

/// Starts it; without a path, it writes to standard output. It ends with the last sender, when all
/// is written, and then closes what it returns.
pub(super) fn start(
    path: Option<PathBuf>,
    json: bool,
    counts: Arc<Counts>,
) -> io::Result<(SyncSender<Box<Line>>, Receiver<()>)> {
    let file = path.as_ref().map(open).transpose()?;
    let mut output = Output { path, file, looked: Instant::now() };
    let (queue, lines) = sync_channel(QUEUE);
    let (ended, end) = channel();
    let writer = thread::Builder::new().name("access-log".to_owned());
    writer.spawn(move || {
        write_all(&lines, &mut output, json, &counts);
        drop::<Sender<()>>(ended);
    })?;
    Ok((queue, end))
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_all(lines: &Receiver<Box<Line>>, output: &mut Output, json: bool, counts: &Counts) {
    let mut block = Vec::with_capacity(BLOCK);
    while let Ok(first) = lines.recv() {
        let mut count = 0;
        for line in std::iter::once(first).chain(lines.try_iter()) {
            if json {
                line.json(&mut block);
            } else {
                line.text(&mut block);
            }
            count += 1;
            if block.len() >= BLOCK {
                output.write(&mut block, &mut count, counts);
            }
        }
        output.write(&mut block, &mut count, counts);
        thread::sleep(REST);
    }
}

impl Output {
    /// Writes what there is, and begins anew.
    fn write(&mut self, block: &mut Vec<u8>, lines: &mut u64, counts: &Counts) {
        self.look();
        let written = match &mut self.file {
            Some(file) => file.write_all(block),
            None => io::stdout().lock().write_all(block),
        };
        let result = if written.is_ok() { &counts.written } else { &counts.failed };
        result.fetch_add(*lines, Ordering::Relaxed);
        if let Err(error) = written {
            tracing::debug!(%error, "the access log cannot be written");
        }
        block.clear();
        *lines = 0;
    }

    /// Whoever rotates logs moves the file away, and expects another one in its place.
    fn look(&mut self) {
        let (Some(path), Some(file)) = (&self.path, &self.file) else { return };
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let id = |data: std::fs::Metadata| (data.dev(), data.ino());
        let there = path.metadata().map(id).ok();
        if there != file.metadata().map(id).ok()
            && let Ok(new) = open(path)
        {
            self.file = Some(new);
        }
    }
}
