//! The file itself: its lines, its lock, and replacing it.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::store::Change;

/// The first line of every data file.
const FORMAT: &str = "service-registry data 1";
const FORMAT_PREFIX: &str = "service-registry data ";

/// The open data file.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    /// How long it was when it was last replaced.
    base: u64,
    /// Held for as long as we live. A file of its own, as the data file is replaced by renaming.
    _lock: File,
}

impl DataFile {
    /// Locks the file at `path` and reads what is in it; nothing is written yet.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Change>), Error> {
        let fail = |doing, source| Error::Data { doing, path: path.to_owned(), source };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(path, ".lock"))
            .map_err(|source| fail("lock", source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(fail("lock", source)),
        }
        let changes = match fs::read(path) {
            Ok(bytes) => read(path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(fail("read", source)),
        };
        let path = path.to_owned();
        Ok((Self { path, file: None, length: 0, base: 0, _lock: lock }, changes))
    }

    /// Replaces all of it, in one step.
    pub(super) fn replace(&mut self, changes: &[Change]) -> io::Result<()> {
        let new = beside(&self.path, ".new");
        let mut writer = BufWriter::new(File::create(&new)?);
        writeln!(writer, "{FORMAT}")?;
        let mut length = FORMAT.len() as u64 + 1;
        for change in changes {
            let line = line(change);
            length += line.len() as u64;
            writer.write_all(&line)?;
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The name is on the disk when its folder is.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        (self.file, self.length, self.base) = (Some(file), length, length);
        Ok(())
    }

    /// Adds changes and waits until they are on the disk.
    pub(super) fn append<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a Change>,
    ) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the data file is not open"));
        };
        let lines: Vec<u8> = changes.flat_map(line).collect();
        file.write_all(&lines)?;
        file.sync_data()?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Whether it holds much that is out of date.
    pub(super) fn is_long(&self) -> bool {
        self.length > (self.base * 4).max(1 << 20)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A change as a line: a checksum, and the change.
fn line(change: &Change) -> Vec<u8> {
    let text = serde_json::to_string(change).expect("a record of texts and numbers");
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes()
}

/// Reads the changes in a file.
fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Change>, Error> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let Some(first) = lines.next() else {
        return Ok(Vec::new());
    };
    let first = String::from_utf8_lossy(first);
    match first.strip_suffix('\n') {
        Some(FORMAT) => {}
        Some(other) if other.starts_with(FORMAT_PREFIX) => {
            let found = other.chars().take(80).collect();
            return Err(Error::Format { path: path.to_owned(), found, expected: FORMAT });
        }
        _ => return Err(Error::NotOurs { path: path.to_owned() }),
    }
    let mut changes = Vec::new();
    for (at, line) in lines.enumerate() {
        // The machine stopped while this was written.
        let Some(line) = line.strip_suffix(b"\n") else {
            tracing::warn!(file = %path.display(), line = at + 2, "the last line is not whole");
            break;
        };
        let change = parse(line).map_err(|problem| Error::Damaged {
            path: path.to_owned(),
            line: at + 2,
            problem,
        })?;
        changes.push(change);
    }
    Ok(changes)
}

fn parse(line: &[u8]) -> Result<Change, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is no text")?;
    let (sum, text) = line.split_once(' ').ok_or("it has no checksum")?;
    let expected = u32::from_str_radix(sum, 16).map_err(|_| "it has no checksum")?;
    if crc32fast::hash(text.as_bytes()) != expected {
        return Err("its checksum does not match".into());
    }
    serde_json::from_str(text).map_err(|error| format!("it is no change ({error})"))
}
