//! `cargo xtask demo --cluster`, as somebody sees it who has piped it into a file.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What it says, in this order.
const PROMISED: [&str; 13] = [
    "   service-registry     ",
    "node1   Ready",
    "$ kubectl apply -k manifests/overlays/ha",
    "deployment \"sidecar-injector\" successfully rolled out",
    "deployment \"server\" successfully rolled out",
    "2/2     Running",
    "└─ client-",
    "client               consumer of server  ",
    "client               provider of client  ",
    "$ kubectl rollout restart deployment/server -n chassis",
    " requests",
    "job.batch/import condition met",
    "nothing found",
];
/// The same over Istio.
const BY_ISTIO: [&str; 12] = [
    "node1   Ready",
    "$ kubectl get pods,services -n istio-system",
    "service/istiod ",
    "$ kubectl create -f examples/with-service-ports/pilot/ -n chassis",
    "2/2     Running",
    "└─ client-",
    "client               consumer of server  ",
    "client               provider of client  ",
    " requests",
    "reviews v2           answered 20",
    "reviews v3           answered ",
    "nothing found",
];

/// Plays it, and holds what it says against what it has to say.
fn play(arguments: &[&str], promised: &[&str]) -> Result<()> {
    if let Err(reason) = testbed::node::is_possible() {
        testbed::skip(&reason);
        return Ok(());
    }
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = demo.args(["demo", "--cluster"]).args(arguments).stdin(Stdio::null()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{said}{complaints}", output.status);
    let mut rest = &*said;
    for line in promised {
        let at = rest.find(line);
        let at = at.with_context(|| format!("there is no {line:?} where it belongs:\n{said}"))?;
        rest = &rest[at..];
    }
    Ok(())
}

#[test]
fn all_of_it_on_a_node() -> Result<()> {
    play(&[], &PROMISED)
}

#[test]
fn all_of_it_over_istio() -> Result<()> {
    play(&["--backend", "pilot"], &BY_ISTIO)
}
