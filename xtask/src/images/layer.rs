//! A layer: the files of an image, as a tar archive in which nothing depends on when and where it
//! was made.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// A layer that is being written.
pub(super) struct Layer {
    tar: Builder<Vec<u8>>,
    folders: BTreeSet<String>,
}

impl Layer {
    /// With nothing in it.
    pub(super) fn new() -> Self {
        Self { tar: Builder::new(Vec::new()), folders: BTreeSet::new() }
    }

    /// A file, and the folders it lies in. Paths have no slash in front.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder, 0o755)?;
        }
        self.entry(EntryType::Regular, path, mode, content)
    }

    /// A folder, and those it lies in, unless it is there already.
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.folders.contains(path) {
            return Ok(());
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent, 0o755)?;
        }
        self.folders.insert(path.to_owned());
        self.entry(EntryType::Directory, &format!("{path}/"), mode, &[])
    }

    /// Its bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.tar.into_inner().context("the layer")
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content).with_context(|| path.to_owned())
    }
}
