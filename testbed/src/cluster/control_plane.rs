//! The command lines of the control plane's servers, and why each flag is there.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::pki::{CONTROLLER_MANAGER, Pki};
use crate::tools;

/// Only what changes objects is of interest, once, without bodies: the
/// annotations that webhooks and admission add are there at this level.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
- level: Metadata
  verbs: [create, update, patch, delete]
- level: None
";

/// Where the servers listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api: u16,
}

impl Ports {
    /// Ports that were free a moment ago.
    ///
    /// Another process may still take one before its server binds it: the start
    /// is then tried again with others.
    pub(super) fn free() -> Result<Self> {
        // All are held at once, so that no two are the same.
        let held = [
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        ];
        let port = |index: usize| held[index].local_addr().map(|address| address.port());
        Ok(Self { etcd: port(0)?, etcd_peer: port(1)?, api: port(2)? })
    }
}

/// etcd with fresh data. No fsync: nothing here outlives its folder.
pub(super) fn etcd(folder: &Path, ports: Ports) -> Result<Command> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    let mut etcd = Command::new(tools::program("etcd")?);
    etcd.arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--unsafe-no-fsync", "--log-level=warn"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")]);
    Ok(etcd)
}

/// What an API server is told that has no node, and only this machine's loopback interface.
pub(super) const ALONE: [&str; 3] = [
    "--bind-address=127.0.0.1",
    // Endpoints of the Service `kubernetes` must not be loopback addresses, and
    // no pod runs here that would use them.
    "--advertise-address=127.0.0.1",
    "--endpoint-reconciler-type=none",
];

/// The API server, for the most part: where it listens, the caller adds.
pub(super) fn apiserver(folder: &Path, ports: Ports, pki: &Pki) -> Result<Command> {
    let policy = folder.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY)?;
    let mut apiserver = Command::new(tools::program("kube-apiserver")?);
    let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let mut argument = std::ffi::OsString::from(name);
        argument.push("=");
        argument.push(value);
        apiserver.arg(argument);
    };
    flag("--etcd-servers", &format!("http://127.0.0.1:{}", ports.etcd));
    flag("--secure-port", &ports.api.to_string());
    flag("--service-cluster-ip-range", &"10.96.0.0/16");
    flag("--tls-cert-file", &pki.certificate("apiserver"));
    flag("--tls-private-key-file", &pki.key("apiserver"));
    flag("--client-ca-file", &pki.ca());
    flag("--service-account-issuer", &"https://kubernetes.default.svc");
    flag("--service-account-key-file", &pki.public_key("service-account"));
    flag("--service-account-signing-key-file", &pki.key("service-account"));
    flag("--authorization-mode", &"Node,RBAC");
    flag("--enable-admission-plugins", &"NodeRestriction");
    flag("--allow-privileged", &"true");
    flag("--audit-policy-file", &policy);
    flag("--audit-log-path", &audit_log(folder));
    flag("--profiling", &"false");
    Ok(apiserver)
}

/// Where the API server writes one JSON object a line for each change.
pub(super) fn audit_log(folder: &Path) -> std::path::PathBuf {
    folder.join("log/audit.log")
}

/// The controller manager: Deployments get ReplicaSets, these get Pods, and
/// namespaces their ServiceAccount `default`.
pub(super) fn controller_manager(folder: &Path, pki: &Pki) -> Result<Command> {
    let mut manager = Command::new(tools::program("kube-controller-manager")?);
    manager
        .arg("--kubeconfig")
        .arg(pki.kubeconfig(&CONTROLLER_MANAGER))
        // It starts its controllers one after another under its own client's
        // limit: at the default 20 a second the first ServiceAccount takes 10 s.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .arg("--service-account-private-key-file")
        .arg(pki.key("service-account"))
        .arg("--root-ca-file")
        .arg(pki.ca())
        .args(["--use-service-account-credentials=true", "--leader-elect=false"])
        // It makes this folder, and not in the system.
        .arg("--flex-volume-plugin-dir")
        .arg(folder.join("volume-plugins"))
        // No port of its own: nothing asks it.
        .args(["--secure-port=0", "--profiling=false"]);
    Ok(manager)
}
