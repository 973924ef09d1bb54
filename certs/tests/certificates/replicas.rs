//! Servers that share a store, of which one writes: here a folder, so that no cluster is needed.

use std::fs;
use std::path::Path;

use certs::store::FolderStore;
use certs::{Replica, Serving, Status, Terms, Trust};
use tokio::sync::watch;

use crate::handshake::{connect, presented, serve};
use crate::names;
use crate::serving::until;

/// A server, and who tells it.
struct Member {
    serving: Serving,
    writes: watch::Sender<bool>,
}

impl Member {
    fn start(folder: &Path, writes: bool) -> Self {
        let (writes, told) = watch::channel(writes);
        let (_, trust) = watch::channel(Trust::Assumed);
        let replica = Replica { writes: told, trust };
        let store = FolderStore::new(folder);
        let serving = Serving::of_shared_store(store, names(), Terms::default(), replica);
        Self { serving, writes }
    }

    async fn serves(&self) -> Status {
        until(&mut self.serving.status(), |now| now.leaf.is_some() && now.error.is_none()).await
    }
}

fn empty(folder: &Path) {
    for file in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        fs::remove_file(folder.join(file)).expect("removed");
    }
}

#[tokio::test]
async fn a_follower_waits_for_the_first_certificate_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let follower = Member::start(folder.path(), false);
    let waiting = until(&mut follower.serving.status(), |now| now.error.is_some()).await;
    assert!(waiting.error.is_some_and(|e| e.contains("the replica that leads is to write it")));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "it writes nothing");

    let leader = Member::start(folder.path(), true);
    let (one, other) = (leader.serves().await, follower.serves().await);
    assert_eq!((one.leaf, one.bundle), (other.leaf, other.bundle));
}

#[tokio::test]
async fn a_follower_serves_on_what_was_deleted_and_heals_it_once_it_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    let leader = Member::start(folder.path(), true);
    let follower = Member::start(folder.path(), false);
    let before = leader.serves().await;
    follower.serves().await;
    let server = serve(follower.serving.resolver()).await;
    leader.serving.stop().await;

    empty(folder.path());
    let alone = until(&mut follower.serving.status(), |now| now.error.is_some()).await;
    assert_eq!(alone.leaf, before.leaf);
    assert!(!folder.path().join("ca.key").exists(), "it writes nothing");
    let bundle = before.bundle.as_ref().expect("a bundle");
    let stream = connect(&server, bundle, "web.default.svc").await.expect("a handshake");
    assert_eq!(Some(presented(&stream)), before.leaf);

    follower.writes.send_replace(true);
    let healed = follower.serves().await;
    assert_eq!((&healed.leaf, &healed.bundle), (&before.leaf, &before.bundle));
    assert!(folder.path().join("ca.key").exists());
}

#[tokio::test]
async fn who_no_longer_leads_leaves_the_store_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let former = Member::start(folder.path(), true);
    former.serves().await;
    former.writes.send_replace(false);
    empty(folder.path());
    until(&mut former.serving.status(), |now| now.error.is_some()).await;
    // Nor does one whose election is no more, whatever it said last.
    former.writes.send_replace(true);
    former.serves().await;
    drop(former.writes);
    empty(folder.path());
    until(&mut former.serving.status(), |now| now.error.is_some()).await;
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
