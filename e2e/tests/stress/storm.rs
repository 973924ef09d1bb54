//! An installation under load, and what is done to it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::{Authority, Certificate, Names, Term, Terms};
use e2e::installation::{NAME, PATIENCE, WEBHOOK, enabled_namespace, is_seen};
use e2e::kubectl::{Kubectl, eventually};
use e2e::load::Load;
use e2e::replicas::{Replica, Replicas};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testbed::Cluster;

use crate::faults::Fault;
use crate::verdict;

/// Whatever lives is replaced early, and would live long enough for a loaded machine.
const CONFIGURATION: &str = "tls:
  authority: {lifetime: 6m, renewAfter: 10s}
  leaf: {lifetime: 90s, renewAfter: 5s}
  settle: 3s
kubernetes:
  lease: {duration: 6s, renew: 5s, retry: 500ms}
drain: {delay: 2s}
log: {format: json}
";
const SECRET: &str = "sidecar-injector-certificates";
const PODS_PER_SECOND: u32 = 50;
/// A machine on which the faults take longer gets no more than that.
const MOST_PODS: usize = 6000;

/// Replicas at work.
pub(crate) struct Storm<'c> {
    cluster: &'c Cluster,
    replicas: Replicas<'c>,
    namespace: String,
    load: Load,
    first_authority: Certificate,
}

/// Failures counted since each counter's start.
struct Failures {
    /// Handshakes that failed at each replica for a reason of its own. What a peer broke off, or
    /// did not end in time, shows in `calls` if it was a call.
    handshakes: BTreeMap<String, u64>,
    /// Calls that failed at the API server, which then let the pod through.
    calls: u64,
}

impl<'c> Storm<'c> {
    /// Installs `count` replicas and begins to create pods.
    pub(crate) fn rises(cluster: &'c Cluster, count: usize) -> Result<Self> {
        let replicas = Replicas::start(cluster, count, CONFIGURATION)?;
        let namespace = enabled_namespace(cluster, "storm")?;
        let first_authority = authority(cluster)?.certificate().clone();
        let load = Load::start(cluster, &namespace, PODS_PER_SECOND, MOST_PODS)?;
        Ok(Self { cluster, replicas, namespace, load, first_authority })
    }

    /// Does what `cause` says, which returns once everything works again, and holds the counters
    /// against what `fault` excuses.
    pub(crate) fn brings(
        &mut self,
        fault: &Fault,
        cause: fn(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let before = self.failures()?;
        self.load.blame(fault.name);
        cause(self).with_context(|| format!("{}\n{}", fault.name, self.replicas.logs()))?;
        self.load.blame("");
        println!("until {}: {}", Timestamp::now(), fault.name);
        let after = self.failures()?;
        for (replica, count) in &after.handshakes {
            let new = before.handshakes.get(replica).is_some_and(|before| before != count);
            ensure!(
                fault.refuses_certificates || !new,
                "{}: handshakes failed at {replica}\n{}",
                fault.name,
                self.replicas.logs()
            );
        }
        let excused = fault.lets_pods_through || fault.refuses_pods;
        ensure!(
            excused || before.calls == after.calls,
            "{}: {} calls, then {} failed at the API server\n{}",
            fault.name,
            before.calls,
            after.calls,
            self.replicas.logs()
        );
        self.is_calm()
    }

    /// Pods get their sidecars.
    pub(crate) fn is_calm(&mut self) -> Result<()> {
        let before = self.load.with_sidecar();
        eventually("pods get their sidecars", PATIENCE, || {
            ensure!(self.load.is_running(), "all {MOST_PODS} pods were created too early");
            Ok((self.load.with_sidecar() > before + 50).then_some(()))
        })
        .with_context(|| self.replicas.logs())
    }

    /// Stops, and judges every pod.
    pub(crate) fn passes(self) -> Result<()> {
        let now = authority(self.cluster)?;
        ensure!(*now.certificate() != self.first_authority, "the CA was never replaced");
        let logs = self.replicas.logs();
        let made = self.load.finish()?;
        verdict::judge(self.cluster, &self.namespace, &made).context(logs)
    }

    pub(crate) fn replace_the_ca(&mut self) -> Result<()> {
        let old = authority(self.cluster)?.certificate().clone();
        eventually("the old CA is gone from caBundle", 2 * PATIENCE, || {
            let bundle = self.ca_bundle()?;
            Ok((!bundle.contains(&old)).then_some(()))
        })
    }

    pub(crate) fn kill_the_leader(&mut self) -> Result<()> {
        let leader = self.replicas.leader()?;
        self.replicas.kill(&leader)?;
        // Until the Service has noticed, and the API server that its connections are gone.
        self.replicas.wait_until_ready()?;
        self.wait_until_called()
    }

    /// Another replica leads once the Lease of the one that was killed has run out.
    pub(crate) fn replace_the_leader(&mut self) -> Result<()> {
        self.replicas.leader()?;
        self.replicas.spawn()?;
        self.replicas.wait_until_ready()
    }

    pub(crate) fn end_the_leader(&mut self) -> Result<()> {
        // The new one comes first, as in the Deployment's rollout.
        self.replicas.spawn()?;
        self.replicas.wait_until_ready()?;
        let leader = self.replicas.leader()?;
        let leaving = self.replicas.terminate(&leader)?;
        let status = leaving.server().wait_for_exit(PATIENCE)?;
        ensure!(status.success(), "{leader} ended with {status}: {}", leaving.log());
        self.replicas.leader()?;
        self.replicas.wait_until_ready()
    }

    pub(crate) fn delete_the_secret(&mut self) -> Result<()> {
        Kubectl(self.cluster).run(&format!("delete secret {SECRET} -n {NAME}"))?;
        eventually("the Secret is back", PATIENCE, || Ok(authority(self.cluster).ok()))?;
        Ok(())
    }

    pub(crate) fn let_the_leaf_run_out(&mut self) -> Result<()> {
        let names = Names::of_service(NAME, NAME)?;
        let terms = Terms {
            leaf: Term { lifetime: Duration::from_mins(1), renew_after: Duration::from_secs(9) },
            ..Terms::default()
        };
        let long_ago = SystemTime::now() - Duration::from_mins(4);
        let expired = authority(self.cluster)?.issue(&names, &terms, long_ago)?;
        ensure!(expired.leaf().not_after() < SystemTime::now());
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let data = json!({"data": {
            "tls.crt": encode(&expired.chain_pem()), "tls.key": encode(expired.key().expose_pem()),
        }});
        let patch = format!("patch secret {SECRET} -n {NAME} --type=merge -p {data}");
        Kubectl(self.cluster).run(&patch)?;
        eventually("it is replaced", PATIENCE, || {
            for replica in self.replicas.living() {
                let served = replica.serial()?;
                ensure!(served != expired.leaf().serial(), "{} serves it", replica.name());
            }
            let [stored] = secret(self.cluster, ["tls.crt"])?;
            let stored = Certificate::all_from_pem(&stored, SECRET)?;
            Ok((stored[0] != *expired.leaf()).then_some(()))
        })
    }

    pub(crate) fn break_and_repair_the_template(&mut self) -> Result<()> {
        let file = self.replicas.templates().join("mesher.yaml");
        let all_say = |failed: u64| {
            eventually("all replicas have read the template", PATIENCE, || {
                let metric = "sidecar_injector_configuration_reload_failed";
                let each = |replica: &Replica| Ok(replica.metric(metric)? == failed);
                let all: Result<Vec<bool>> = self.replicas.living().iter().map(each).collect();
                Ok(all?.into_iter().all(|said| said).then_some(()))
            })
        };
        fs::write(&file, "containers: [{name: '{{ oops'}]\n")?;
        all_say(1)?;
        fs::remove_file(&file)?;
        all_say(0)
    }

    pub(crate) fn delete_and_apply_the_configuration(&mut self) -> Result<()> {
        let kubectl = Kubectl(self.cluster);
        kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
        // Until every pod is created without being shown to anybody.
        eventually("the API server calls nobody", PATIENCE, || {
            Ok((!is_seen(self.cluster, &self.namespace)).then_some(()))
        })?;
        kubectl.run(&format!("apply -k {}", self.replicas.kustomization().display()))?;
        self.wait_until_called()
    }

    pub(crate) fn restart_the_api_server(&mut self) -> Result<()> {
        self.cluster.restart_apiserver()?;
        self.wait_until_called()?;
        // Whoever led may have lost its place meanwhile.
        self.replicas.leader()?;
        self.replicas.wait_until_ready()
    }

    fn wait_until_called(&self) -> Result<()> {
        eventually("the API server calls a replica", PATIENCE, || {
            Ok(is_seen(self.cluster, &self.namespace).then_some(()))
        })
    }

    fn ca_bundle(&self) -> Result<certs::Bundle> {
        let found = Kubectl(self.cluster).get(&format!("mutatingwebhookconfiguration {NAME}"))?;
        let encoded = found["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        let pem = BASE64_STANDARD.decode(encoded.context("caBundle is empty")?)?;
        Ok(certs::Bundle::from_pem(&pem, "caBundle")?)
    }

    fn failures(&self) -> Result<Failures> {
        let each =
            |replica: &Replica| Ok((replica.name().to_owned(), replica.failed_handshakes()?));
        let handshakes: Result<_> = self.replicas.living().iter().map(each).collect();
        let metrics = Kubectl(self.cluster).run("get --raw /metrics")?.stdout;
        let calls = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_admission_webhook_fail_open_count{"))
            .filter(|line| line.contains(WEBHOOK))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum();
        Ok(Failures { handshakes: handshakes?, calls })
    }
}

/// What the Secret holds under `keys`, all as of one moment.
fn secret<const COUNT: usize>(cluster: &Cluster, keys: [&str; COUNT]) -> Result<[Vec<u8>; COUNT]> {
    let secret = Kubectl(cluster).get(&format!("secret {SECRET} -n {NAME}"))?;
    let mut values = [const { Vec::new() }; COUNT];
    for (value, key) in values.iter_mut().zip(keys) {
        let encoded = secret["data"][key].as_str().with_context(|| format!("no {key}"))?;
        *value = BASE64_STANDARD.decode(encoded)?;
    }
    Ok(values)
}

/// The CA that signs now.
fn authority(cluster: &Cluster) -> Result<Authority> {
    let [certificates, key] = secret(cluster, ["ca.crt", "ca.key"])?;
    Ok(Authority::from_pem(&certificates, &key, SECRET)?)
}
