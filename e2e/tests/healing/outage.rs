//! The injector or its webhook configuration goes away and comes back.

use anyhow::Result;
use e2e::audit::creation;
use e2e::installation::{Installation, NAME, PATIENCE, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::{Pod, asking};
use serde_json::json;
use testbed::{Cluster, ClusterOptions};

fn cluster() -> Result<Cluster> {
    Cluster::start(ClusterOptions { controller_manager: true })
}

fn create(cluster: &Cluster, namespace: &str, name: &str) -> Result<Pod> {
    let line = format!("create -n {namespace} -o json -f -");
    Ok(Pod(Kubectl(cluster).run_with(&line, &asking(name).to_string())?.json()?))
}

/// R34: the API server counts and audits what failed open.
#[test]
fn r34_without_an_injector_pods_start_without_a_sidecar() -> Result<()> {
    let cluster = cluster()?;
    let namespace = enabled_namespace(&cluster, "healing")?;
    let mut injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;
    create(&cluster, &namespace, "before")?.sidecar()?;

    injector.stop();
    create(&cluster, &namespace, "meanwhile")?.is_bare()?;
    assert!(creation(&cluster, &namespace, "meanwhile")?.failed_open);
    let metrics = Kubectl(&cluster).run("get --raw /metrics")?.stdout;
    assert!(metrics.lines().any(|line| {
        line.starts_with("apiserver_admission_webhook_fail_open_count")
            && line.contains("sidecar-injector.mesher.io")
    }));

    injector.resume()?;
    create(&cluster, &namespace, "after")?.sidecar()?;
    Ok(())
}

#[test]
fn r33_a_configuration_applied_again_has_its_ca_bundle_again() -> Result<()> {
    let cluster = cluster()?;
    let kubectl = Kubectl(&cluster);
    let namespace = enabled_namespace(&cluster, "healing")?;
    let injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;
    let bundle = injector.wait_for_ca_bundle(PATIENCE)?;
    let apply = format!("apply -k {}", injector.kustomization().display());

    // Over a filled caBundle: nothing changes, the injector's field stays the injector's.
    let again = kubectl.run(&apply)?.stdout;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    assert_eq!(injector.ca_bundle()?.as_ref(), Some(&bundle));
    kubectl.run(&format!("{apply} --server-side"))?;
    assert_eq!(injector.ca_bundle()?.as_ref(), Some(&bundle));

    // Emptied by somebody's manifest.
    let empty =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]);
    kubectl.run(&format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {empty}"))?;
    assert_eq!(injector.wait_for_ca_bundle(PATIENCE)?, bundle);

    // Deleted: the injector must not bring back what an operator took away.
    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    create(&cluster, &namespace, "unseen")?.is_bare()?;
    let left = kubectl.get("mutatingwebhookconfigurations")?;
    assert_eq!(left["items"], json!([]));

    kubectl.run(&apply)?;
    assert_eq!(injector.wait_for_ca_bundle(PATIENCE)?, bundle);
    let mut tries = 0;
    eventually("pods are injected again", PATIENCE, || {
        tries += 1;
        let pod = create(&cluster, &namespace, &format!("again-{tries}"))?;
        Ok(pod.sidecar().is_ok().then_some(()))
    })
}
