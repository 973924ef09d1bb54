//! A folder as the store: one replica on one machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Changes, Store, Stored};
use crate::error::Error;
use crate::folder::Folder;
use crate::self_issued::Texts;

/// The files `ca.crt`, `ca.key`, `tls.crt` and `tls.key` of a folder, readable by their owner
/// alone, each replaced atomically. A crash between two of them leaves a pair that does not
/// match, which the next start recognizes and replaces. The folder is for one process: there is
/// no guard against two writers.
#[derive(Debug, Clone)]
pub struct FolderStore {
    path: PathBuf,
}

impl FolderStore {
    /// Uses the folder `path`, made on the first write.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }
}

impl Store for FolderStore {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn load(&self) -> Result<Stored, Error> {
        let files = ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(|name| self.read(name));
        let [ca_crt, ca_key, tls_crt, tls_key] = files;
        let (ca_crt, ca_key, tls_crt, tls_key) = (ca_crt?, ca_key?, tls_crt?, tls_key?);
        if [&ca_crt, &ca_key, &tls_crt, &tls_key].iter().all(|file| file.is_none()) {
            return Ok(Stored::default());
        }
        let texts = Texts {
            ca_crt: ca_crt.unwrap_or_default(),
            ca_key: Zeroizing::new(ca_key.unwrap_or_default()),
            tls_crt: tls_crt.unwrap_or_default(),
            tls_key: Zeroizing::new(tls_key.unwrap_or_default()),
        };
        Ok(Stored { texts: Some(texts), version: None })
    }

    async fn save(&self, texts: &Texts, _: Option<&str>) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.path.clone(), source };
        if !self.path.is_dir() {
            fs::create_dir_all(&self.path).map_err(failed)?;
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        for (name, text) in [
            ("ca.key", texts.ca_key.as_slice()),
            ("ca.crt", texts.ca_crt.as_slice()),
            ("tls.key", texts.tls_key.as_slice()),
            ("tls.crt", texts.tls_crt.as_slice()),
        ] {
            replace(&self.path, name, text)?;
        }
        fs::File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn watch(&self) -> Changes {
        Folder::new(self.path.clone()).watch(Duration::from_secs(10))
    }
}

/// Writes `name` beside its place, then renames it there: a reader sees the old or the new.
fn replace(folder: &Path, name: &str, text: &[u8]) -> Result<(), Error> {
    let target = folder.join(name);
    let beside = folder.join(format!(".{name}.new"));
    let write = || {
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    };
    write().map_err(|source| Error::Write { path: target.clone(), source })
}
