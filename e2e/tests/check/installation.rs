//! Faults of the installation: webhook configuration, certificates, rights, configuration, and what
//! the API server counted.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::{Authority, Names, Terms};
use e2e::injector::Injector;
use e2e::installation::{Installation, NAME, PATIENCE, checkout, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use injector::check::Code;
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};

use crate::live::{Live, check_as};

const SECRET: &str = "sidecar-injector-certificates";

#[test]
fn faults_of_an_installation_are_found_and_their_fixes_help() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let mut injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;
    let live = Live { cluster: &cluster, arguments: &[] };
    injector.wait_for_ca_bundle(PATIENCE)?;
    calls_in_vain(live, &mut injector)?;
    healthy(live)?;
    the_documented_rights(live)?;
    a_certificate_of_files(live, &injector)?;
    drift(live)?;
    no_configuration(live, &injector)?;
    rights(live)?;
    configuration(live)?;
    what_the_api_server_trusts(live, &mut injector)?;
    the_secret(live, &mut injector)?;
    slow_calls(live, &injector)
}

fn patch(live: Live<'_>, patch: &Value) -> Result<()> {
    let line = format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {patch}");
    Kubectl(live.cluster).run(&line)?;
    Ok(())
}

/// Everything was looked at, and nothing was found: warnings neither.
fn healthy(live: Live<'_>) -> Result<()> {
    eventually("check finds nothing", PATIENCE, || {
        let checked = live.check()?;
        let clean = checked.findings.is_empty() && checked.not_checked.is_empty();
        ensure!(clean && checked.code == Some(0), "{checked:#?}");
        Ok(Some(()))
    })
}

/// R34: what the API server counts of calls that failed open; a restart of it resets the count.
fn calls_in_vain(live: Live<'_>, injector: &mut Installation<'_>) -> Result<()> {
    let namespace = enabled_namespace(live.cluster, "in-vain")?;
    injector.stop();
    let asking = asking("meanwhile").to_string();
    Kubectl(live.cluster).run_with(&format!("create -n {namespace} -f -"), &asking)?;
    live.planted(Code::WebhookFailed)?;
    let found = live.planted(Code::WebhookUnreachable)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("refused"), "why, where it can be known from here: {found:#}");

    // With Fail, the API server says itself what is the matter.
    let policy =
        |word: &str| json!([{"op": "add", "path": "/webhooks/0/failurePolicy", "value": word}]);
    patch(live, &policy("Fail"))?;
    eventually("the API server's own words are reported", PATIENCE, || {
        let found = live.planted(Code::WebhookUnreachable)?;
        let problem = found["problem"].as_str().context("no problem")?;
        Ok(problem.contains("failed calling webhook").then_some(()))
    })?;
    patch(live, &policy("Ignore"))?;

    // So does the policy of the overlay `strict`, where the webhook fails open.
    let strict = checkout("manifests/components/strict/policy.yaml");
    let kubectl = Kubectl(live.cluster);
    kubectl.run(&format!("apply -f {}", strict.display()))?;
    eventually("the policy's words are reported", PATIENCE, || {
        let found = live.planted(Code::WebhookUnreachable)?;
        let problem = found["problem"].as_str().context("no problem")?;
        Ok(problem.contains("ValidatingAdmissionPolicy").then_some(()))
    })?;
    kubectl.run(&format!("delete -f {}", strict.display()))?;
    Kubectl(live.cluster)
        .run(&format!("delete pod meanwhile -n {namespace} --force --grace-period=0"))?;
    injector.resume()?;
    live.gone(Code::WebhookUnreachable)?;
    live.cluster.restart_apiserver()?;
    live.gone(Code::WebhookFailed)
}

/// The ClusterRole of the documentation is enough to check everything.
fn the_documented_rights(live: Live<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    let text = std::fs::read_to_string(checkout("docs/check.md"))?;
    let role = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    kubectl.run_with("create -f -", role.context("docs/check.md shows no ClusterRole")?)?;
    kubectl.run("create serviceaccount checker -n default")?;
    let account = "--serviceaccount=default:checker";
    let bind = "create clusterrolebinding checker --clusterrole=sidecar-injector-check";
    kubectl.run(&format!("{bind} {account}"))?;
    let kubeconfig = live.cluster.account_kubeconfig("default", "checker")?;
    eventually("the ClusterRole is enough", PATIENCE, || {
        let checked = check_as(&kubeconfig, &[])?;
        let clean = checked.findings.is_empty() && checked.not_checked.is_empty();
        ensure!(clean && checked.code == Some(0), "{checked:#?}");
        Ok(Some(()))
    })
}

/// Where no Secret is known to hold it, the certificate is read off the webhook's port.
fn a_certificate_of_files(live: Live<'_>, injector: &Installation<'_>) -> Result<()> {
    let file = live.cluster.folder().join("files.yaml");
    std::fs::write(&file, "tls: {mode: files, folder: /nowhere}\n")?;
    let file = file.display().to_string();
    let files = Live { arguments: &["--config", &file], ..live };
    healthy(files)?;
    let call = |url: &str| {
        patch(
            live,
            &json!([{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url}]),
        )
    };
    // Another injector, of a CA that nobody trusts.
    let other = Injector::start("")?;
    call(&format!("https://{}/mutate", other.webhook()))?;
    let found = files.planted(Code::CaBundleMismatch)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains(&other.webhook().to_string()), "{found:#}");
    drop(other);
    eventually("what cannot be read is said", PATIENCE, || {
        let said = files.check()?.not_checked;
        let reason = said.first().and_then(|line| line["reason"].as_str());
        Ok(reason.is_some_and(|reason| reason.contains("connecting to")).then_some(()))
    })?;
    call(injector.url())?;
    files.gone(Code::CaBundleMismatch)?;
    live.cluster.restart_apiserver()?;
    healthy(files)
}

fn drift(live: Live<'_>) -> Result<()> {
    for (field, value) in [
        ("reinvocationPolicy", json!("Never")),
        ("matchConditions", json!([])),
        ("timeoutSeconds", json!(30)),
        ("namespaceSelector", json!({"matchLabels": {"sidecar-injector": "enabled"}})),
        ("objectSelector", json!({})),
    ] {
        let path = format!("/webhooks/0/{field}");
        patch(live, &json!([{"op": "replace", "path": path, "value": value}]))?;
        let found = live.mended(Code::WebhookDrift)?;
        let problem = found["problem"].as_str().context("no problem")?;
        ensure!(problem.contains(field), "{field}: {found:#}");
    }
    // The operator's choice.
    patch(live, &json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]))?;
    healthy(live)?;
    patch(live, &json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]))
}

fn no_configuration(live: Live<'_>, injector: &Installation<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    live.planted(Code::WebhookMissing)?;
    kubectl.run(&format!("apply -k {}", injector.kustomization().display()))?;
    live.gone(Code::WebhookMissing)?;
    injector.wait_for_ca_bundle(PATIENCE)?;
    Ok(())
}

fn rights(live: Live<'_>) -> Result<()> {
    Kubectl(live.cluster).run(&format!("delete clusterrolebinding {NAME}"))?;
    let found = live.mended(Code::RightMissing)?;
    let problem = found["problem"].as_str().context("no problem")?;
    let named = problem.contains("patch mutatingwebhookconfigurations/sidecar-injector");
    ensure!(named && !problem.contains("secrets"), "{found:#}");
    Ok(())
}

/// R35: a template that cannot be used fails the check.
fn configuration(live: Live<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    let of = format!("-n {NAME}");
    let maps = |data: Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": "sidecar-injector-templates", "namespace": NAME},
        })
        .to_string()
    };
    kubectl.run_with("create -f -", &maps(json!({"own.yaml": "sidecar: [\n"})))?;
    let found = live.planted(Code::ConfigurationInvalid)?;
    ensure!(found["object"] == "configmap/sidecar-injector-templates", "{found:#}");
    kubectl.run(&format!("delete configmap sidecar-injector-templates {of}"))?;
    live.gone(Code::ConfigurationInvalid)?;

    let before = kubectl.run(&format!("get configmap {NAME} {of} -o json"))?.stdout;
    let wrong = json!({"data": {"config.yaml": "log:\n  levle: info\n"}}).to_string();
    let file = live.cluster.folder().join("wrong.json");
    std::fs::write(&file, wrong)?;
    kubectl.run(&format!("patch configmap {NAME} {of} --patch-file {}", file.display()))?;
    let found = live.planted(Code::ConfigurationInvalid)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("did you mean \"level\"?"), "{found:#}");
    let mut before: Value = serde_json::from_str(&before)?;
    before["metadata"]["resourceVersion"].take();
    kubectl.run_with("replace -f -", &before.to_string())?;
    live.gone(Code::ConfigurationInvalid)
}

fn some_ca() -> Result<Authority> {
    Ok(Authority::generate("another CA", &Terms::default(), SystemTime::now())?)
}

/// `caBundle`, while nobody keeps it.
fn what_the_api_server_trusts(live: Live<'_>, injector: &mut Installation<'_>) -> Result<()> {
    let at = "/webhooks/0/clientConfig/caBundle";
    let other = some_ca()?;
    let trust = |pem: &str| {
        patch(live, &json!([{"op": "add", "path": at, "value": BASE64_STANDARD.encode(pem)}]))
    };
    injector.stop();
    trust(&other.certificate().to_pem())?;
    let found = live.planted(Code::CaBundleMismatch)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("no CA of the bundle signed it"), "{found:#}");

    // The API server takes it: it looks at the certificates only.
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    trust(&format!("{}{key}", other.certificate().to_pem()))?;
    let found = live.mended(Code::CaBundleInvalid)?;
    ensure!(!found.to_string().contains("AAAA"), "a key is not shown: {found:#}");
    live.planted(Code::CaBundleMissing)?;

    injector.resume()?;
    for code in [Code::CaBundleMismatch, Code::CaBundleMissing, Code::WebhookUnreachable] {
        live.gone(code)?;
    }
    Ok(())
}

/// The Secret, while nobody keeps it.
fn the_secret(live: Live<'_>, injector: &mut Installation<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    injector.stop();
    kubectl.run(&format!("delete secret {SECRET} -n {NAME}"))?;
    live.planted(Code::CertificateMissing)?;

    let hour = Duration::from_hours(1);
    let terms = Terms::default();
    for (age, code) in
        [(20 * hour, Code::CertificateOverdue), (30 * hour, Code::CertificateExpired)]
    {
        keep(live, &some_ca()?, &terms, SystemTime::now() - age)?;
        live.planted(code)?;
    }
    live.planted(Code::CertificateExpired)?;
    let ended =
        Authority::generate("old CA", &terms, SystemTime::now() - terms.ca.renew_after - hour)?;
    keep(live, &ended, &terms, SystemTime::now())?;
    let found = live.planted(Code::CertificateOverdue)?;
    ensure!(found["problem"].as_str().context("no problem")?.contains("the CA"), "{found:#}");

    let garbage = json!({"data": {"tls.crt": BASE64_STANDARD.encode("no certificate")}});
    kubectl.run(&format!("patch secret {SECRET} -n {NAME} -p {garbage}"))?;
    live.mended(Code::CertificateInvalid)?;

    injector.resume()?;
    for code in [Code::CertificateMissing, Code::CertificateExpired, Code::CertificateOverdue] {
        live.gone(code)?;
    }
    Ok(())
}

/// Writes the Secret with a leaf that was issued at `then`.
fn keep(live: Live<'_>, ca: &Authority, terms: &Terms, then: SystemTime) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    let names = Names::of_service(NAME, NAME)?;
    // A leaf never begins before its CA.
    let start = ca.certificate().not_before().min(then - terms.clock_skew);
    let ca = if start < ca.certificate().not_before() {
        &Authority::generate("aged CA", terms, then)?
    } else {
        ca
    };
    let leaf = ca.issue(&names, terms, then)?;
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "namespace": NAME},
        "data": {
            "ca.crt": encoded(&ca.certificate().to_pem()),
            "ca.key": encoded(ca.key().expose_pem()),
            "tls.crt": encoded(&leaf.chain_pem()),
            "tls.key": encoded(leaf.key().expose_pem()),
        },
    });
    kubectl.run(&format!("delete secret {SECRET} -n {NAME} --ignore-not-found"))?;
    kubectl.run_with("create -f -", &secret.to_string())?;
    Ok(())
}

/// A server that takes connections and never answers.
fn slow_calls(live: Live<'_>, injector: &Installation<'_>) -> Result<()> {
    let namespace = enabled_namespace(live.cluster, "slow")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://{}/mutate", listener.local_addr()?);
    let set = |url: &str, timeout: u32| {
        patch(
            live,
            &json!([
                {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url},
                {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": timeout},
            ]),
        )
    };
    set(&url, 1)?;
    eventually("calls take long", PATIENCE, || {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        Kubectl(live.cluster).post(&path, &asking("slow"))?;
        Ok((!live.check()?.of(Code::WebhookSlow).is_empty()).then_some(()))
    })?;
    live.planted(Code::WebhookSlow)?;
    set(injector.url(), 5)?;
    live.cluster.restart_apiserver()?;
    live.gone(Code::WebhookSlow)
}
