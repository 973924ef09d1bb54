//! The files as they stand on the disk, and whether somebody is at one of them.
//!
//! Who renames another file into place, as Kubernetes and many editors do, changes one in a single
//! step. Who writes in place, as `cp` and a shell's `>` do, empties it first, and an empty file is a
//! good one: it leaves everything to what is built in. So what is new counts only when it has been
//! found twice, and nobody has the file open who has written to it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::Inputs;
use super::keys::File;

/// How long all has to stay as it is. Alone, it is for folders of which the kernel reports nothing.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a file may be open after it was written to. Some never close what they write.
const HELD: Duration = Duration::from_secs(10);

/// What all files hold, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State([u8; 32]);

/// The files.
#[derive(Debug)]
pub(super) struct Disk {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    writers: Option<Writers>,
}

impl Disk {
    pub(super) fn new(inputs: &Inputs, folders: &[PathBuf]) -> Self {
        let named = |folder: &PathBuf| File::ALL.map(|file| folder.join(file.name()));
        let mut files: Vec<_> = inputs.places.config.iter().cloned().collect();
        files.extend(folders.iter().flat_map(named));
        files.push(inputs.places.labels.clone());
        let writers = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        let writers = writers.inspect_err(|error| {
            tracing::debug!(%error, "the kernel does not tell who writes the configuration");
        });
        let writers = writers.ok().map(Writers::new);
        Self { folders: folders.to_vec(), files, writers }
    }

    /// What the files hold once nobody is at them; at once, where that is what is `known`.
    pub(super) async fn settled(&mut self, known: Option<State>) -> State {
        let began = Instant::now();
        let mut told = false;
        self.are_untouched();
        let mut before = self.state();
        loop {
            if self.are_untouched() && Some(before) == known {
                return before;
            }
            sleep(SETTLE).await;
            let now = self.state();
            if self.are_untouched() && now == before {
                return now;
            }
            before = now;
            if began.elapsed() > HELD && !told {
                told = true;
                let by = self.writers.as_ref().and_then(|writers| writers.open.keys().next());
                tracing::warn!(file = ?by, "the configuration is being written all the time: what is in force stays until that ends");
            }
        }
    }

    /// Whether they still hold that, and did all the time since they were last looked at.
    pub(super) fn still_hold(&mut self, state: State) -> bool {
        let now = self.state();
        self.are_untouched() && now == state
    }

    /// Whether nobody has touched one since this was last asked, nor is writing one.
    fn are_untouched(&mut self) -> bool {
        let Some(writers) = &mut self.writers else { return true };
        writers.watch(&self.folders);
        writers.read(&self.files)
    }

    /// Faults count too, so that a file which turns unreadable is reported.
    fn state(&self) -> State {
        let mut hash = Sha256::new();
        for path in &self.files {
            match (std::fs::read(path), std::fs::metadata(path)) {
                (Ok(bytes), Ok(metadata)) => {
                    hash.update(path.as_os_str().as_encoded_bytes());
                    for number in [metadata.ino(), metadata.dev(), metadata.len()] {
                        hash.update(number.to_le_bytes());
                    }
                    hash.update(metadata.mtime().to_le_bytes());
                    hash.update(metadata.mtime_nsec().to_le_bytes());
                    hash.update(bytes.len().to_le_bytes());
                    hash.update(bytes);
                }
                (Err(error), _) | (_, Err(error)) => hash.update(error.kind().to_string()),
            }
        }
        State(hash.finalize().into())
    }
}

/// A folder, whatever its path: device and number.
type Inode = (u64, u64);

/// What the kernel says of those who write files in some folders.
#[derive(Debug)]
struct Writers {
    inotify: Inotify,
    /// By what the kernel calls them; and which folder stood at the path then.
    folders: HashMap<WatchDescriptor, (PathBuf, Inode)>,
    /// Files that were written to and not closed since, and when they were last written to.
    open: HashMap<PathBuf, Instant>,
}

impl Writers {
    fn new(inotify: Inotify) -> Self {
        Self { inotify, folders: HashMap::new(), open: HashMap::new() }
    }

    /// Watches the folders that are there now. One that is watched is left alone: for a moment in
    /// between, the kernel would tell nothing of it.
    fn watch(&mut self, folders: &[PathBuf]) {
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        for folder in folders {
            let Ok(found) = std::fs::metadata(folder) else { continue };
            let inode = (found.dev(), found.ino());
            if self.folders.values().any(|(_, watched)| *watched == inode) {
                continue;
            }
            if let Ok(watched) = self.inotify.add_watch(folder, flags) {
                self.folders.insert(watched, (folder.clone(), inode));
            }
        }
    }

    /// Whether nothing has happened to one of `files` since the last call, and none is being
    /// written. What was done before is known: the kernel queues it as it happens.
    fn read(&mut self, files: &[PathBuf]) -> bool {
        let mut untouched = true;
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    (untouched, self.open) = (false, HashMap::new());
                }
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.folders.remove(&event.wd);
                }
                let folder = self.folders.get(&event.wd);
                let path = folder.zip(event.name).map(|((folder, _), name)| folder.join(name));
                let Some(path) = path.filter(|path| ours(files, path)) else { continue };
                untouched = false;
                if event.mask.contains(AddWatchFlags::IN_MODIFY) {
                    self.open.insert(path, Instant::now());
                } else {
                    self.open.remove(&path);
                }
            }
        }
        self.open.retain(|_, written| written.elapsed() < HELD);
        untouched && self.open.is_empty()
    }
}

fn ours(files: &[PathBuf], path: &Path) -> bool {
    files.iter().any(|file| file == path)
}
