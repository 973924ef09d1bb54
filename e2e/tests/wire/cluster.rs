//! R25, R26 and the metric of R33: what the injector asks of an API server, and when.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use e2e::injector::{Injector, PATIENCE, tls_folder};

use crate::data::{V1, v1};

/// An API server that notes what it is asked and answers only the question for its version.
struct Silent {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Silent {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                thread::spawn(move || note(&tcp, &notes));
            }
        });
        Ok(Self { address, asked })
    }

    /// Method and path of every request, without queries.
    fn asked(&self) -> BTreeSet<String> {
        let asked = self.asked.lock().expect("no note-taker panics");
        asked
            .iter()
            .map(|line| line.split(['?']).next().unwrap_or_default().replace(" HTTP/1.1", ""))
            .collect()
    }
}

fn note(tcp: &TcpStream, notes: &Mutex<Vec<String>>) -> Result<()> {
    let mut tcp = tcp.try_clone()?;
    let mut lines = BufReader::new(tcp.try_clone()?).lines();
    while let Some(Ok(line)) = lines.next() {
        notes.lock().expect("no note-taker panics").push(line.clone());
        while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
        if line.starts_with("GET /version") {
            let body = concat!(
                r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","#,
                r#""gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#
            );
            write!(
                tcp,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
    }
    Ok(())
}

fn injector_of(silent: &Silent) -> Result<Injector> {
    Injector::start_with("", |command, folder| {
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": format!("http://{}", silent.address)}}],
            "users": [{"name": "me", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "here", "context":
                {"cluster": "here", "user": "me", "namespace": "mesher-system"}}],
        });
        let file = folder.join("kubeconfig");
        fs::write(&file, kubeconfig.to_string())?;
        command.env("KUBECONFIG", file).arg("--url=https://127.0.0.1/mutate");
        command.arg("--tls-folder").arg(tls_folder(folder));
        Ok(())
    })
}

/// B21: the original listed and wrote ConfigMaps of the pod's namespace at every admission, B22: on a
/// dry run too, B23: over what the user had there, B24: and called a failure a success, B26: or ran
/// into another pod's write.
#[test]
fn r25_reviews_cause_no_call_of_the_api_and_r26_wait_for_none() -> Result<()> {
    let silent = Silent::start()?;
    let injector = injector_of(&silent)?;
    let mut http2 = injector.http2()?;
    let dry_run = v1(|review| review["request"]["dryRun"] = true.into())?;
    for body in [V1, &dry_run] {
        for reply in http2.post_all("/mutate?timeout=30s", &[body; 50])? {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.json()?["response"]["patchType"], "JSONPatch");
        }
    }
    let configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let allowed = BTreeSet::from([
        "GET /version".to_owned(),
        format!("GET {configurations}"),
        format!("GET {configurations}/sidecar-injector"),
    ]);
    let asked = silent.asked();
    assert!(asked.contains("GET /version"), "{asked:?}");
    assert!(asked.is_subset(&allowed), "{asked:?}");
    Ok(())
}

#[test]
fn r13_the_injectors_own_namespace_is_never_touched() -> Result<()> {
    let silent = Silent::start()?;
    let injector = injector_of(&silent)?;
    let body = v1(|review| review["request"]["namespace"] = "mesher-system".into())?;
    let response = injector.review(&body)?.json()?;
    assert_eq!(response["response"]["auditAnnotations"]["decision"], "ignored_namespace");
    Ok(())
}

/// B45: the original had no metrics.
#[test]
fn r33_metrics_tell_how_the_cluster_and_the_certificate_stand() -> Result<()> {
    let silent = Silent::start()?;
    let injector = injector_of(&silent)?;
    assert_eq!(injector.metric("sidecar_injector_api_server_version_known")?, 1);
    injector.server().wait_until("native sidecars are the default", PATIENCE, || {
        injector.metric("sidecar_injector_native_sidecar_default").is_ok_and(|v| v == 1)
    })?;
    // The API server never answers for the configuration: caBundle cannot be current.
    assert_eq!(injector.metric("sidecar_injector_ca_bundle_state{state=\"current\"}")?, 0);
    let text = injector.operations("/metrics")?.text();
    let states = text.lines().filter(|line| line.starts_with("sidecar_injector_ca_bundle_state{"));
    let sum: u64 = states
        .map(|line| line.rsplit(' ').next().and_then(|v| v.parse::<u64>().ok()))
        .sum::<Option<u64>>()
        .context("numbers")?;
    assert_eq!(sum, 1, "exactly one state holds:\n{text}");
    let expiry = injector.metric("sidecar_injector_certificate_expiry_timestamp_seconds")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    assert!(expiry > now, "{expiry}");

    let before = injector.metric("sidecar_injector_decisions_total{decision=\"injected\"}")?;
    assert_eq!(injector.review(V1)?.status, 200);
    let after = injector.metric("sidecar_injector_decisions_total{decision=\"injected\"}")?;
    assert_eq!(after - before, 1);
    assert!(injector.metric("sidecar_injector_patch_bytes_count")? >= 1);
    assert!(injector.metric("sidecar_injector_review_duration_seconds_count")? >= 1);
    Ok(())
}
