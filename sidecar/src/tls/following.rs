//! Taking up what becomes of the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use certs::{Folder, OpenedKeys};
use futures::future::select_all;

use super::credentials::Credentials;
use super::tags::Use;
use super::{InForce, Tls, ours};
use crate::settings::{Settings, Tls as Terms};

/// How often to look where the kernel reports no changes.
const POLL: Duration = Duration::from_secs(10);

impl Tls {
    /// Follows the files for ever. Their folders are watched as a whole: Kubernetes replaces a
    /// mounted Secret by renaming a symlink beside them.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            let folders = self.folders();
            let mut watches: Vec<_> =
                folders.iter().map(|folder| Folder::new(folder).watch(POLL)).collect();
            // They may have changed since they were last read.
            Arc::clone(&self).refresh_aside().await;
            let moved = self.moved.notified();
            tokio::pin!(moved);
            loop {
                let changed = watches.iter_mut().map(|watch| Box::pin(watch.next()));
                let changed = async {
                    if folders.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    select_all(changed).await;
                };
                tokio::select! {
                    () = &mut moved => break,
                    () = changed => Arc::clone(&self).refresh_aside().await,
                }
            }
        }
    }

    /// [`Self::refresh`], where it holds nobody up.
    async fn refresh_aside(self: Arc<Self>) {
        let refreshed = tokio::task::spawn_blocking(move || self.refresh()).await;
        if let Err(error) = refreshed {
            tracing::error!(%error, "the certificates' files could not be looked at");
        }
    }

    /// Takes over what other settings say of TLS. It reads files, and may take as long as it takes
    /// to open a key.
    pub(crate) fn reconfigure(&self, settings: &Settings) {
        let terms = ours(settings, &self.own_name);
        if self.wanted().terms != terms {
            self.wanted().terms = terms;
            self.refresh();
            self.moved.notify_one();
        }
    }

    /// Reads all files, and puts in force what is different and in order. What is not leaves its
    /// tag as it was.
    fn refresh(&self) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let (wanted, mut faults) = {
            let wanted = self.wanted();
            (wanted.terms.clone(), wanted.faults.clone())
        };
        let before = self.in_force.load_full();
        let mut after = (*before).clone();
        after.retain(|tag, _| wanted.contains_key(tag));
        faults.retain(|tag, _| wanted.contains_key(tag));
        for (tag, terms) in &wanted {
            match renew(tag, terms, before.get(tag), &mut opened) {
                Ok(new) => {
                    if faults.remove(tag).is_some() {
                        tracing::info!(tag, "the certificates' files are in order again");
                    }
                    if let Some(new) = new {
                        let leaf = new.held.leaf();
                        let (subject, serial) = (
                            leaf.map(certs::Certificate::subject),
                            leaf.map(certs::Certificate::serial),
                        );
                        tracing::info!(tag, subject, serial, "other certificates are in force");
                        self.counts.reloads.fetch_add(1, Ordering::Relaxed);
                        after.insert(tag.clone(), Arc::new(new));
                    }
                }
                Err(fault) => {
                    if faults.get(tag) != Some(&fault) {
                        tracing::warn!(tag, fault, "the last good certificates stay in force");
                        self.counts.failed_reloads.fetch_add(1, Ordering::Relaxed);
                        faults.insert(tag.clone(), fault);
                    }
                }
            }
        }
        opened.forget_unused();
        self.wanted().faults = faults;
        let same = |(tag, new): (&String, &Arc<InForce>)| {
            before.get(tag).is_some_and(|old| Arc::ptr_eq(old, new))
        };
        if after.len() != before.len() || !after.iter().all(same) {
            self.in_force.store(Arc::new(after));
            let followed =
                [(&self.registry, Use::ServiceCenter), (&self.center, Use::ConfigurationCenter)];
            for (told, what) in followed {
                if let (Some(told), Some(config)) = (told, self.for_use(what)) {
                    told.send_if_modified(|known| {
                        let other = !Arc::ptr_eq(known, &config);
                        *known = config;
                        other
                    });
                }
            }
        }
    }

    fn folders(&self) -> BTreeSet<PathBuf> {
        let wanted = self.wanted();
        let files =
            |it: &Terms| [&it.certificate, &it.key, &it.password, &it.ca].map(Option::clone);
        let files = wanted.terms.values().flat_map(files).flatten();
        files.map(|file| folder(&file)).collect()
    }
}

/// What is to be in force for a tag, if it is not what is.
fn renew(
    tag: &str,
    terms: &Terms,
    now: Option<&Arc<InForce>>,
    opened: &mut OpenedKeys,
) -> Result<Option<InForce>, String> {
    let held = Credentials::load(terms, opened).map_err(|error| error.to_string())?;
    if now.is_some_and(|now| now.terms == *terms && now.held == held) {
        return Ok(None);
    }
    InForce::build(tag, terms, held).map(Some).map_err(|error| error.to_string())
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
