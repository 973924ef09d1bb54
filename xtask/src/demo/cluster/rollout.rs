//! What callers notice when the servers are replaced: nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use testbed::Cluster;

use super::{NAMESPACE, pods, rolled_out, run, wait_for};
use crate::demo::screen::Screen;

/// As many requests as one [`LOAD`] makes.
const ROUND: u32 = 500;
const LOAD: &str = "exec deploy/client -n chassis -- mockserver get -q -n 500 -c 32 \
                    http://server:8080/hello";

/// Replaces them under load.
pub(super) fn show(screen: &Screen, cluster: &Cluster) -> Result<()> {
    screen
        .say("A server closes its listener as soon as it is told to end. This goes on meanwhile:");
    screen.typed(&format!("while kubectl {LOAD}; do :; done"));
    let replaced = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        let calls = scope.spawn(|| -> Result<u32> {
            let mut answered = 0;
            while answered == 0 || !replaced.load(Ordering::Relaxed) {
                run(cluster, LOAD)?;
                answered += ROUND;
            }
            Ok(answered)
        });
        let result = replace(screen, cluster);
        replaced.store(true, Ordering::Relaxed);
        let answered = calls.join().map_err(|_| anyhow!("the calls panicked"))?;
        result.and(answered)
    })?;
    screen.fact("answered", &format!("{answered} of {answered} requests"));
    Ok(())
}

fn replace(screen: &Screen, cluster: &Cluster) -> Result<()> {
    let before = pods(cluster, "server")?;
    screen.kubectl(cluster, &format!("rollout restart deployment/server -n {NAMESPACE}"))?;
    rolled_out(screen, cluster, "server", NAMESPACE)?;
    let is_gone = |pod: &String| !before.contains(pod);
    wait_for("the old servers are gone", || {
        pods(cluster, "server").is_ok_and(|pods| pods.iter().all(is_gone))
    })?;
    let after = pods(cluster, "server")?.len();
    ensure!(after == before.len(), "there are {after} servers, and there were {}", before.len());
    Ok(())
}
