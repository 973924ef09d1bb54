//! Following the configuration file and the templates while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certs::Folder;
use sha2::{Digest, Sha256};

use super::live::Live;
use crate::config::{Config, Overrides, load_templates};

/// How often to look where the kernel reports no changes.
const POLL: Duration = Duration::from_secs(10);

/// Looks at the files whenever something changes in their folders, and puts them in force when
/// they are others than before. Never returns.
pub(super) async fn follow(overrides: Overrides, config: Config, live: Arc<Live>) {
    let (mut templates, mut seen) = (config.templates, None);
    loop {
        let mut folders: Vec<PathBuf> = overrides
            .config_path()
            .map(parent)
            .into_iter()
            .chain(templates.as_deref().map(folder_of))
            .collect();
        folders.dedup();
        if folders.is_empty() {
            return std::future::pending().await;
        }
        let mut watches: Vec<_> =
            folders.iter().map(|folder| Folder::new(folder).watch(POLL)).collect();
        loop {
            // The first look comes before the first change: files may have changed since they
            // were read for the start.
            let now = fingerprint(overrides.config_path(), templates.as_deref());
            if seen.is_none() {
                seen = Some(now);
            } else if seen != Some(now) {
                seen = Some(now);
                let loaded = overrides.resolve().and_then(|config| {
                    let templates = load_templates(config.templates.as_deref())?;
                    Ok((config, templates))
                });
                let path = loaded.as_ref().ok().map(|(config, _)| config.templates.clone());
                live.reload(loaded);
                if let Some(path) = path
                    && path != templates
                {
                    // Another folder to watch.
                    templates = path;
                    seen = Some(fingerprint(overrides.config_path(), templates.as_deref()));
                    break;
                }
            }
            let changes = watches.iter_mut().map(|watch| Box::pin(watch.next()));
            futures::future::select_all(changes).await;
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn folder_of(templates: &Path) -> PathBuf {
    if templates.is_dir() { templates.to_owned() } else { parent(templates) }
}

/// Tells whether any file is another than before. Faults count too, so that a file which turns
/// unreadable is reported.
fn fingerprint(config: Option<&Path>, templates: Option<&Path>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |path: &Path| {
        hash.update(path.as_os_str().as_encoded_bytes());
        match std::fs::read(path) {
            Ok(bytes) => {
                hash.update(bytes.len().to_le_bytes());
                hash.update(bytes);
            }
            Err(error) => hash.update(error.to_string()),
        }
    };
    if let Some(config) = config {
        add(config);
    }
    if let Some(templates) = templates {
        let mut files: Vec<_> = std::fs::read_dir(templates)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        add(templates);
        files.iter().filter(|file| file.is_file()).for_each(|file| add(file));
    }
    hash.finalize().into()
}
