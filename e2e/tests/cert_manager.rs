//! The overlay `cert-manager`, with the real one: its controllers issue the certificate, cainjector
//! writes `caBundle`, and the injector reads files. Only the kubelet's part, to mount the Secret, is
//! played.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::Certificate;
use e2e::injector::trusting;
use e2e::installation::{Installation, NAME, PATIENCE, WEBHOOK, enabled_namespace, is_seen};
use e2e::kubectl::{Kubectl, eventually};
use e2e::manifests::object;
use e2e::mount::mount;
use e2e::pod::items;
use e2e::wire::Http1;
use serde_json::{Value, json};
use testbed::{Cluster, Server, tools};

const OVERLAY: &str = "manifests/overlays/cert-manager";

/// A cluster that knows what a Certificate is.
fn cluster() -> Result<&'static Cluster> {
    let cluster = Cluster::shared()?;
    let source = tools::module_source("cert-manager", "github.com/cert-manager/cert-manager")?;
    let kubectl = Kubectl(cluster);
    let definitions = source.join("deploy/crds");
    kubectl.run(&format!("apply --server-side -f {}", definitions.display()))?;
    kubectl.run("wait --for=condition=Established crd --all --timeout=60s")?;
    Ok(cluster)
}

/// cert-manager's controllers, with an administrator's rights.
fn cert_manager(cluster: &Cluster) -> Result<Server> {
    let mut program = Command::new(tools::program("cert-manager")?);
    program.env("KUBECONFIG", cluster.kubeconfig());
    cluster.guard().spawn("cert-manager", &mut program)
}

/// The Secret that the injector's pod mounts, and where its process here finds it.
struct Mounted<'c> {
    kubectl: Kubectl<'c>,
    secret: String,
    folder: PathBuf,
    versions: u32,
}

impl<'c> Mounted<'c> {
    /// What the overlay's Deployment mounts at the folder that its variables name; and these
    /// variables, for a process of this machine.
    fn of_overlay(cluster: &'c Cluster) -> Result<(Self, Vec<(String, String)>)> {
        let kubectl = Kubectl(cluster);
        let pod = object(kubectl, OVERLAY, "Deployment")?["spec"]["template"]["spec"].clone();
        let container = &pod["containers"][0];
        let folder = cluster.folder().join("certificate");
        let mut variables = Vec::new();
        let mut mount_path = None;
        for variable in items(&container["env"]) {
            let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str())
            else {
                continue;
            };
            let mut value = value.to_owned();
            if name == "SIDECAR_INJECTOR_TLS_FOLDER" {
                mount_path = Some(std::mem::replace(&mut value, folder.display().to_string()));
            }
            variables.push((name.to_owned(), value));
        }
        let mount_path = mount_path.context("the overlay names no folder")?;
        let mount = items(&container["volumeMounts"]).iter().find(|m| m["mountPath"] == mount_path);
        let volume = &mount.context("nothing is mounted there")?["name"];
        let volume = items(&pod["volumes"]).iter().find(|v| &v["name"] == volume);
        let secret = volume.context("no volume")?["secret"]["secretName"].as_str();
        let secret = secret.context("no Secret is mounted")?.to_owned();
        Ok((Self { kubectl, secret, folder, versions: 0 }, variables))
    }

    fn data(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let all = self.kubectl.get(&format!("secrets -n {NAME}"))?;
        let secret = items(&all["items"]).iter().find(|s| s["metadata"]["name"] == self.secret);
        let text = secret.and_then(|secret| secret["data"][key].as_str());
        Ok(text.map(|text| BASE64_STANDARD.decode(text)).transpose()?)
    }

    /// Waits until the Secret holds another certificate than `former`, and shows it to the process.
    fn sync(&mut self, former: Option<&[u8]>) -> Result<Vec<u8>> {
        let certificate = eventually("cert-manager has issued a certificate", PATIENCE, || {
            Ok(self.data("tls.crt")?.filter(|now| !now.is_empty() && Some(&now[..]) != former))
        })?;
        self.versions += 1;
        let key = self.data("tls.key")?.context("no key")?;
        let files = [("tls.crt", certificate.clone()), ("tls.key", key)];
        mount(&self.folder, &self.versions.to_string(), &files)?;
        Ok(certificate)
    }
}

/// As `cmctl renew` does.
fn renew(kubectl: Kubectl<'_>, certificate: &str) -> Result<()> {
    let found = kubectl.get(&format!("certificate {certificate} -n {NAME}"))?;
    let mut conditions = items(&found["status"]["conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(json!({"type": "Issuing", "status": "True", "reason": "ManuallyTriggered"}));
    let status = json!({"status": {"conditions": conditions}}).to_string();
    let file = kubectl.0.folder().join("renewal.json");
    std::fs::write(&file, status)?;
    kubectl.run(&format!(
        "patch certificate {certificate} -n {NAME} --subresource=status --type=merge \
         --patch-file={}",
        file.display()
    ))?;
    Ok(())
}

fn ca_bundle(kubectl: Kubectl<'_>) -> Result<Option<Vec<u8>>> {
    let line = format!("mutatingwebhookconfiguration {NAME} --show-managed-fields");
    let found = kubectl.get(&line)?;
    let owners: Vec<_> = items(&found["metadata"]["managedFields"])
        .iter()
        .filter(|owner| owner["fieldsV1"].to_string().contains("f:caBundle"))
        .map(|owner| owner["manager"].clone())
        .collect();
    let text = found["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    assert_eq!(owners, ["cert-manager-cainjector"], "nobody else writes there");
    Ok(Some(BASE64_STANDARD.decode(text)?))
}

/// Waits until the API server is told to trust what signed the certificate.
fn trusts(mounted: &Mounted<'_>) -> Result<()> {
    eventually("caBundle holds the certificate's CA", PATIENCE, || {
        let Some(bundle) = ca_bundle(mounted.kubectl)? else {
            return Ok(None);
        };
        let trusted = Certificate::all_from_pem(&bundle, "caBundle")?;
        let ca = mounted.data("ca.crt")?.context("no CA")?;
        let signed = Certificate::all_from_pem(&ca, "ca.crt")?;
        Ok(signed.iter().all(|ca| trusted.contains(ca)).then_some(()))
    })
}

#[test]
fn cert_manager_issues_renews_and_replaces_what_the_injector_serves() -> Result<()> {
    let cluster = cluster()?;
    let kubectl = Kubectl(cluster);
    let _cert_manager = cert_manager(cluster)?;
    let (mut mounted, variables) = Mounted::of_overlay(cluster)?;
    // The API server calls this process by its address.
    let address = json!({"patch": json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"name": NAME, "namespace": NAME}, "spec": {"ipAddresses": ["127.0.0.1"]},
    }).to_string()});
    let program = testbed::binary(NAME)?;
    let mut injector = Installation::prepare(cluster, &program, OVERLAY, &[address])?;
    let first = mounted.sync(None)?;
    injector.set_environment(variables);
    injector.resume()?;
    trusts(&mounted)?;
    let metrics = injector.operations("/metrics")?.text();
    ensure!(metrics.contains(r#"ca_bundle_state{state="unmanaged"} 1"#), "{metrics}");
    let namespace = enabled_namespace(cluster, "shop")?;
    let address = injector.url().trim_start_matches("https://").trim_end_matches("/mutate");
    let address: SocketAddr = address.parse()?;
    let served = |mounted: &Mounted<'_>, expected: &[u8]| {
        let expected = &Certificate::all_from_pem(expected, "tls.crt")?[0];
        let tls = trusting(&mounted.data("ca.crt")?.context("no CA")?)?;
        eventually("the injector serves the certificate", PATIENCE, || {
            let shown = Http1::connect(address, &tls)?.certificates();
            Ok((shown.first() == Some(expected.der())).then_some(()))
        })?;
        eventually("the API server calls the injector", PATIENCE, || {
            Ok(is_seen(cluster, &namespace).then_some(()))
        })
    };
    served(&mounted, &first)?;

    // A renewal: the CA stays, and so does caBundle. The old files serve until the new are there.
    let bundle = ca_bundle(kubectl)?;
    renew(kubectl, NAME)?;
    ensure!(is_seen(cluster, &namespace));
    let second = mounted.sync(Some(&first))?;
    ensure!(is_seen(cluster, &namespace));
    served(&mounted, &second)?;
    assert_eq!(ca_bundle(kubectl)?, bundle);

    // Another CA, and a leaf of it.
    let issued = kubectl.get(&format!("secret {NAME}-ca -n {NAME}"))?["data"]["tls.crt"].clone();
    renew(kubectl, &format!("{NAME}-ca"))?;
    eventually("there is another CA", PATIENCE, || {
        let now = kubectl.get(&format!("secret {NAME}-ca -n {NAME}"))?["data"]["tls.crt"].clone();
        Ok((now.is_string() && now != issued).then_some(()))
    })?;
    ensure!(is_seen(cluster, &namespace), "the leaf is still one of the CA in caBundle");
    renew(kubectl, NAME)?;
    let third = mounted.sync(Some(&second))?;
    served(&mounted, &third)?;
    trusts(&mounted)?;
    // The former CA stays beside it, so that replicas which still show its leaf are trusted.
    let both = Certificate::all_from_pem(&ca_bundle(kubectl)?.context("no CA")?, "caBundle")?;
    let former = Certificate::all_from_pem(&bundle.context("no CA")?, "caBundle")?;
    ensure!(both.len() == 2 && former.iter().all(|ca| both.contains(ca)), "{both:?}");

    // Nothing of it is in the manifests: applied again, also after a deletion, it comes back.
    let apply = format!("apply -k {}", injector.kustomization().display());
    kubectl.run(&apply)?;
    ensure!(is_seen(cluster, &namespace), "caBundle survives a re-applied manifest");
    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    kubectl.run(&apply)?;
    served(&mounted, &third)?;
    trusts(&mounted)
}

#[test]
fn the_certificate_fits_the_webhook() -> Result<()> {
    let kubectl = Kubectl(cluster()?);
    let all = e2e::manifests::objects(kubectl, OVERLAY)?;
    let find = |kind: &str, name: &Value| {
        let found = all.iter().find(|o| o["kind"] == kind && &o["metadata"]["name"] == name);
        found.with_context(|| format!("there is no {kind} {name}"))
    };
    let configuration = find("MutatingWebhookConfiguration", &json!(NAME))?;
    let webhook = &configuration["webhooks"][0];
    assert_eq!(webhook["name"], WEBHOOK);
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    let (namespace, name) = from.as_str().and_then(|n| n.split_once('/')).context("no name")?;
    let leaf = find("Certificate", &json!(name))?;
    assert_eq!(leaf["metadata"]["namespace"], namespace);
    let service = &webhook["clientConfig"]["service"];
    let called = [&service["name"], &service["namespace"]].map(|v| v.as_str().unwrap_or_default());
    let called = json!(format!("{}.svc", called.join(".")));
    assert!(items(&leaf["spec"]["dnsNames"]).contains(&called), "{called}");
    // The chain from the leaf to the CA that signs itself.
    let issuer = find("Issuer", &leaf["spec"]["issuerRef"]["name"])?;
    let ca_secret = &issuer["spec"]["ca"]["secretName"];
    let ca = find("Certificate", &json!("sidecar-injector-ca"))?;
    assert_eq!((&ca["spec"]["secretName"], &ca["spec"]["isCA"]), (ca_secret, &json!(true)));
    // What is left of the base's rights.
    let base = e2e::manifests::objects(kubectl, "manifests/base")?;
    let full = base.iter().find(|o| o["kind"] == "Role").context("no Role in the base")?;
    for rule in items(&find("Role", &json!(NAME))?["rules"]) {
        assert!(items(&full["rules"]).contains(rule), "{rule}");
        assert_ne!(rule["resources"], json!(["secrets"]));
    }
    let root = find("Issuer", &ca["spec"]["issuerRef"]["name"])?;
    assert_eq!(root["spec"], json!({"selfSigned": {}}));
    Ok(())
}
