//! `Serving` over real folders, as a kubelet, an operator and an unlucky crash fill them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use certs::store::{FolderStore, Store};
use certs::{Authority, Bundle, Files, Identity, Serving, Status, Term, Terms};
use tokio::sync::watch;

use crate::handshake::{connect, echo, presented, serve};
use crate::{names, seconds};

fn authority() -> Authority {
    Authority::generate("test CA", &Terms::default(), SystemTime::now()).expect("a CA")
}

fn issue(authority: &Authority) -> Identity {
    authority.issue(&names(), &Terms::default(), SystemTime::now()).expect("a leaf")
}

fn write(folder: &Path, identity: &Identity, ca: &Bundle) {
    fs::write(folder.join("tls.crt"), identity.chain_pem()).expect("written");
    fs::write(folder.join("tls.key"), identity.key().expose_pem()).expect("written");
    fs::write(folder.join("ca.crt"), ca.to_pem()).expect("written");
}

/// Waits until the status is as wanted. The bound only ends a test that would hang.
pub(crate) async fn until(
    status: &mut watch::Receiver<Status>,
    wanted: impl Fn(&Status) -> bool,
) -> Status {
    let found = tokio::time::timeout(seconds(60), status.wait_for(|s| wanted(s))).await;
    if let Ok(found) = found {
        return found.expect("the task runs").clone();
    }
    drop(found);
    panic!("never as wanted: {:?}", status.borrow());
}

fn with_ca(folder: &Path) -> Files {
    Files { ca: Some("ca.crt".into()), ..Files::of_folder(folder) }
}

/// B7, B9: a kubelet writes a new folder and renames the symlink `..data` onto it.
#[tokio::test]
async fn a_mounted_secret_is_swapped_under_a_live_connection() {
    let mount = tempfile::tempdir().expect("a folder");
    let authority = authority();
    let bundle = Bundle::of(authority.certificate().clone());
    let (old, new) = (issue(&authority), issue(&authority));
    for (version, identity) in [("..2026_1", &old), ("..2026_2", &new)] {
        fs::create_dir(mount.path().join(version)).expect("made");
        write(&mount.path().join(version), identity, &bundle);
    }
    symlink("..2026_1", mount.path().join("..data")).expect("linked");
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(format!("..data/{file}"), mount.path().join(file)).expect("linked");
    }

    let serving = Serving::of_files(with_ca(mount.path()));
    let mut status = serving.status();
    let first = until(&mut status, |s| s.leaf.is_some()).await;
    assert_eq!((first.leaf.as_ref(), first.generation), (Some(old.leaf()), 1));
    assert_eq!(first.bundle.as_ref(), Some(&bundle));
    let server = serve(serving.resolver()).await;
    let mut early = connect(&server, &bundle, "web.default.svc").await.expect("a handshake");

    symlink("..2026_2", mount.path().join("..data_tmp")).expect("linked");
    fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).expect("swapped");
    until(&mut status, |s| s.leaf.as_ref() == Some(new.leaf())).await;
    let late = connect(&server, &bundle, "web.default.svc").await.expect("a handshake");
    assert_eq!(presented(&late), *new.leaf());
    echo(&mut early, "still here").await;

    serving.stop().await;
    let kept = connect(&server, &bundle, "web.default.svc").await.expect("served to the end");
    assert_eq!(presented(&kept), *new.leaf());
}

#[tokio::test]
async fn a_half_written_or_mismatched_pair_leaves_the_last_good_in_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = authority();
    let bundle = Bundle::of(authority.certificate().clone());
    let (old, new) = (issue(&authority), issue(&authority));
    write(folder.path(), &old, &bundle);
    let serving = Serving::of_files(with_ca(folder.path()));
    let mut status = serving.status();
    until(&mut status, |s| s.leaf.is_some()).await;
    let server = serve(serving.resolver()).await;

    let chain = new.chain_pem();
    for (text, complaint) in [
        (&chain[..chain.len() / 2], "not valid PEM"),
        ("", "no CERTIFICATE found"),
        (&chain, "do not belong together"),
    ] {
        fs::write(folder.path().join("tls.crt"), text).expect("written");
        let told = |s: &Status| s.error.as_ref().is_some_and(|e| e.contains(complaint));
        let bad = until(&mut status, told).await;
        assert_eq!(bad.leaf.as_ref(), Some(old.leaf()));
        let stream = connect(&server, &bundle, "web.default.svc").await.expect("a handshake");
        assert_eq!(presented(&stream), *old.leaf());
    }
    fs::write(folder.path().join("tls.key"), new.key().expose_pem()).expect("written");
    let good = until(&mut status, |s| s.error.is_none()).await;
    assert_eq!(good.leaf.as_ref(), Some(new.leaf()));
}

/// A CA beside it that did not sign it: the API server would refuse every call.
#[tokio::test]
async fn a_leaf_of_another_ca_than_the_one_beside_it_is_not_put_in_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (authority(), authority());
    let (old, new) = (issue(&one), issue(&two));
    write(folder.path(), &old, &Bundle::of(one.certificate().clone()));
    let serving = Serving::of_files(with_ca(folder.path()));
    let mut status = serving.status();
    until(&mut status, |s| s.leaf.is_some()).await;
    write(folder.path(), &new, &Bundle::of(one.certificate().clone()));
    let objection =
        |s: &Status| s.error.as_ref().is_some_and(|e| e.contains("no CA of the bundle"));
    let doubted = until(&mut status, objection).await;
    assert_eq!(doubted.leaf.as_ref(), Some(old.leaf()));
    write(folder.path(), &new, &Bundle::of(two.certificate().clone()));
    until(&mut status, |s| s.error.is_none() && s.leaf.as_ref() == Some(new.leaf())).await;
}

/// Nothing better is there: it is served, as clients that do not look would take it, and said.
#[tokio::test]
async fn an_expired_certificate_is_served_with_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let long_ago = SystemTime::now() - 100 * Duration::from_hours(24);
    let authority = Authority::generate("test CA", &Terms::default(), long_ago).expect("a CA");
    let expired = authority.issue(&names(), &Terms::default(), long_ago).expect("a leaf");
    write(folder.path(), &expired, &Bundle::of(authority.certificate().clone()));
    for files in [Files::of_folder(folder.path()), with_ca(folder.path())] {
        let serving = Serving::of_files(files);
        let status = until(&mut serving.status(), |s| s.error.is_some()).await;
        assert_eq!(status.leaf.as_ref(), Some(expired.leaf()));
        assert!(status.error.is_some_and(|e| e.contains("it has expired; renew it")));
    }
}

#[tokio::test]
async fn a_folder_that_appears_later_is_found() {
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("certificates");
    let serving = Serving::of_files(Files::of_folder(&path));
    let mut status = serving.status();
    let missing = until(&mut status, |s| s.error.is_some()).await;
    assert!(missing.error.is_some_and(|e| e.contains("check that it is mounted")));
    let authority = authority();
    fs::create_dir(&path).expect("made");
    write(&path, &issue(&authority), &Bundle::of(authority.certificate().clone()));
    let found = until(&mut status, |s| s.leaf.is_some()).await;
    assert_eq!((found.error, found.bundle), (None, None), "no CA file was configured");
}

#[tokio::test]
async fn its_own_ca_in_a_folder_survives_a_restart_and_a_deletion() {
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("own");
    let start = || Serving::of_store(FolderStore::new(&path), names(), Terms::default());
    let serving = start();
    let first = until(&mut serving.status(), |s| s.leaf.is_some()).await;
    for file in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        let mode = fs::metadata(path.join(file)).expect("stored").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&path).expect("a folder").count(), 4, "nothing is left beside");
    let bundle = first.bundle.clone().expect("a bundle");
    let server = serve(serving.resolver()).await;
    for name in names().to_vec() {
        connect(&server, &bundle, &name).await.expect("a handshake");
    }
    serving.stop().await;

    let serving = start();
    let again = until(&mut serving.status(), |s| s.leaf.is_some()).await;
    assert_eq!((again.leaf, again.bundle), (first.leaf.clone(), first.bundle));
    fs::remove_file(path.join("ca.key")).expect("removed");
    let store = FolderStore::new(&path);
    let healed = async {
        while store.load().await.expect("loaded").texts.is_none_or(|t| t.ca_key.is_empty()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(seconds(60), healed).await.expect("healed from memory");
    assert_eq!(serving.status().borrow().leaf, first.leaf);
}

/// A leaf that lives seconds is renewed by the clock alone, and no handshake ever fails.
#[tokio::test]
async fn renewal_by_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let terms = Terms {
        leaf: Term { lifetime: seconds(60), renew_after: seconds(2) },
        settle: seconds(1),
        ..Terms::default()
    };
    let serving = Serving::of_store(FolderStore::new(folder.path()), names(), terms);
    let mut status = serving.status();
    let first = until(&mut status, |s| s.leaf.is_some()).await;
    let bundle = first.bundle.expect("a bundle");
    let server = serve(serving.resolver()).await;
    while status.borrow().generation < 3 {
        connect(&server, &bundle, "127.0.0.1").await.expect("a handshake at any time");
        tokio::task::yield_now().await;
    }
    assert_ne!(status.borrow().leaf, first.leaf);
    assert_eq!(status.borrow().bundle.as_ref(), Some(&bundle));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_with_a_remedy() {
    let parent = tempfile::tempdir().expect("a folder");
    let file = parent.path().join("file");
    fs::write(&file, "in the way").expect("written");
    let serving = Serving::of_store(FolderStore::new(file.join("own")), names(), Terms::default());
    let status = until(&mut serving.status(), |s| s.error.is_some()).await;
    assert!(status.leaf.is_none());
    assert!(status.error.is_some_and(|e| e.contains("check")));
}
