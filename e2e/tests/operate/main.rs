//! `docs/operate.md` does what it says: its commands are run as they stand there.

mod words;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::installation::{NAME, enabled_namespace};
use e2e::kubectl::Kubectl;
use e2e::nodes::with_nodes;
use e2e::pod::{Pod, items};
use e2e::walkthrough::Walkthrough;
use testbed::installation::is_seen;
use testbed::{Cluster, ClusterOptions};

const PAGE: &str = "docs/operate.md";

/// From nothing to nothing; the sections in their order, and what each has to leave behind.
#[test]
fn the_page_leads_where_it_says() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kubectl = Kubectl(&cluster);
    let page = Walkthrough::open(&cluster, PAGE)?;
    let injector = testbed::binary(NAME)?;
    let mut left: Vec<_> = page.sections().into_iter().map(str::to_owned).collect();
    left.reverse();
    let mut next = |wanted: &str| -> Result<()> {
        let section = left.pop();
        ensure!(section.as_deref() == Some(wanted), "the page has {section:?} before {wanted:?}");
        page.run(wanted)
    };
    with_nodes(&cluster, &injector, || {
        next("Before you begin")?;
        next("Install")?;
        next("Bring in what runs already")?;
        with_pods_that_ask(&cluster, || {
            next("Upgrade")?;
            next("Roll back")
        })?;
        next("A pod has no sidecar")?;

        let before = pods(kubectl)?;
        ensure!(before.iter().all(|(_, sidecar)| *sidecar), "{before:?}");
        next("Uninstall")?;
        ensure!(pods(kubectl)? == before, "some pods were not left alone");
        let remains = remains(kubectl)?;
        ensure!(remains.is_empty(), "something is left: {remains:?}");

        next("Take the sidecars out")?;
        let after = pods(kubectl)?;
        ensure!(after.len() == before.len(), "{after:?}");
        ensure!(after.iter().all(|(_, sidecar)| !sidecar), "{after:?}");
        Ok(())
    })?;
    ensure!(left.is_empty(), "nothing runs {left:?}");
    Ok(())
}

/// Does `work` while pods that ask are created without a pause, as dry runs: every one of them has
/// to come back with its sidecar.
fn with_pods_that_ask(cluster: &Cluster, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let namespace = enabled_namespace(cluster, "asked-for")?;
    let (ended, made, missed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let count = if is_seen(cluster, &namespace) { &made } else { &missed };
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        asking.join().map_err(|_| anyhow::anyhow!("the pods panicked"))?;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let (made, missed) = (made.into_inner(), missed.into_inner());
    ensure!(missed == 0 && made > 0, "{missed} of {} pods got no sidecar", made + missed);
    Kubectl(cluster).run(&format!("delete namespace {namespace}"))?;
    Ok(())
}

/// The uids of the applications' pods, and whether each has a sidecar.
fn pods(kubectl: Kubectl<'_>) -> Result<BTreeSet<(String, bool)>> {
    let list = kubectl.get("pods -A -l app")?;
    let seen = items(&list["items"]).iter().cloned().map(Pod).map(|pod| {
        let uid = pod.0["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        (uid, pod.sidecar().is_ok())
    });
    Ok(seen.collect())
}

/// Every object of the cluster that is called after the injector.
fn remains(kubectl: Kubectl<'_>) -> Result<Vec<String>> {
    let kinds = kubectl.run("api-resources --verbs=list -o name")?.stdout;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let all = kubectl.run(&format!("get {} -A -o name", kinds.join(",")))?.stdout;
    ensure!(all.contains("namespace/shop"), "this lists nothing: {all}");
    Ok(all.lines().filter(|name| name.contains(NAME)).map(str::to_owned).collect())
}
