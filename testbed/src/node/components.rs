//! The command lines and files of what makes a machine a node, and why each setting is there.
//! etcd, the API server and the controller manager are those of every [`Cluster`](crate::Cluster).

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::machine::Machine;
use crate::cluster::{Authority, Pki, User};
use crate::tools;

/// What the node is called.
pub const NAME: &str = "node1";
/// Its address, in a network for documentation (RFC 5737): nothing else is there.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The address of its default route, behind which nobody is.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The image that holds the namespaces of each pod, as containerd calls it.
pub(super) const PAUSE: &str = concat!("docker.io/library/pause:", env!("CARGO_PKG_VERSION"));

const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const PODS: &str = "10.244.0.0/16";
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Services and Endpoints that give CoreDNS to the pods.
pub(super) const DNS_OBJECTS: &str = include_str!("dns.yaml");

const KUBELET: User =
    User { file: "kubelet", common_name: "system:node:node1", organization: Some("system:nodes") };
const SCHEDULER: User =
    User { file: "scheduler", common_name: "system:kube-scheduler", organization: None };
const PROXY: User = User { file: "proxy", common_name: "system:kube-proxy", organization: None };
const COREDNS: User = User { file: "coredns", common_name: "system:coredns", organization: None };
/// Who the API server is to the kubelet.
const CALLER: User = User {
    file: "apiserver-kubelet",
    common_name: "apiserver-kubelet",
    organization: Some("system:masters"),
};

/// The certificates that a node needs beyond those of a control plane.
pub(super) fn certify(authority: &Authority, api_url: &str) -> Result<()> {
    let address = ADDRESS.to_string();
    authority.apiserver(&[&address])?;
    authority.server("kubelet-server", NAME, &[NAME, &address, "127.0.0.1"])?;
    [KUBELET, SCHEDULER, PROXY, COREDNS, CALLER]
        .iter()
        .try_for_each(|user| authority.user(user, api_url))
}

/// What the API server is told where there is a node: pods reach it, and it reaches the kubelet.
pub(super) fn apiserver_flags(pki: &Pki) -> Vec<String> {
    let file = |path: PathBuf| path.display().to_string();
    vec![
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={ADDRESS}"),
        format!("--kubelet-certificate-authority={}", file(pki.ca())),
        format!("--kubelet-client-certificate={}", file(pki.certificate(CALLER.file))),
        format!("--kubelet-client-key={}", file(pki.key(CALLER.file))),
        // It would otherwise look the node's name up, which no DNS server has.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ]
}

/// containerd, which runs containers with runc and connects pods with the CNI plugins.
pub(super) fn containerd(folder: &Path, machine: &Machine) -> Result<Command> {
    let (data, cni) = (folder.join("data"), folder.join("cni"));
    fs::create_dir_all(&cni)?;
    let network = json!({
        "cniVersion": "1.0.0", "name": "node", "plugins": [
            {
                // Hairpin: a pod may reach itself through its Service.
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local", "dataDir": data.join("cni"),
                    "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    fs::write(cni.join("10-node.conflist"), network.to_string())?;
    let config = folder.join("containerd.toml");
    let text = format!(
        "version = 2
root = {root}
state = \"/run/containerd\"
# Of those that lack something here, each would say so.
disabled_plugins = [
  \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\",
  \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\",
]
[grpc]
  address = \"{CONTAINERD}\"
# It makes this folder, which otherwise is /opt/containerd.
[plugins.\"io.containerd.internal.v1.opt\"]
  path = {opt}
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"{PAUSE}\"
  # A root without CAP_SYS_RESOURCE cannot lower the score, and no pod would start.
  restrict_oom_score_adj = true
  # Profiles of AppArmor are loaded for the whole machine, and stay.
  disable_apparmor = true
[plugins.\"io.containerd.grpc.v1.cri\".cni]
  bin_dir = {plugins}
  conf_dir = {cni}
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
  runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
  SystemdCgroup = false
",
        // TOML writes strings as JSON does.
        root = json!(data.join("containerd")),
        opt = json!(data.join("opt")),
        plugins = json!(machine.plugins),
        cni = json!(cni),
    );
    fs::write(&config, text)?;
    let mut containerd = Command::new(&machine.containerd);
    containerd.arg("--config").arg(config).args(["--log-level", "info"]);
    Ok(containerd)
}

/// containerd's own client, in the namespace of images that the kubelet uses.
pub(super) fn ctr(machine: &Machine) -> Command {
    let mut ctr = Command::new(&machine.ctr);
    ctr.args(["--address", CONTAINERD, "--namespace", "k8s.io"]);
    ctr
}

/// The scheduler. Nothing asks it on a port of its own.
pub(super) fn scheduler(pki: &Pki) -> Result<Command> {
    let mut scheduler = Command::new(tools::program("kube-scheduler")?);
    scheduler.arg("--kubeconfig").arg(pki.kubeconfig(&SCHEDULER)).args([
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]);
    Ok(scheduler)
}

/// The kubelet.
pub(super) fn kubelet(folder: &Path, pki: &Pki) -> Result<Command> {
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, format!("nameserver {DNS}\n"))?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "cgroupDriver": "cgroupfs",
        // It refuses cgroups of version 1 by default; it only warns of them then.
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "authentication": {
            "x509": {"clientCAFile": pki.ca()},
            "anonymous": {"enabled": false}, "webhook": {"enabled": true},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.certificate("kubelet-server"),
        "tlsPrivateKeyFile": pki.key("kubelet-server"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS.to_string()],
        "resolvConf": resolver,
        "volumePluginDir": folder.join("data/volume-plugins"),
        "maxPods": 500,
        // How full the machine is, is none of a test's business.
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%",
            "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "5s",
    });
    let mut kubelet = Command::new(tools::program("kubelet")?);
    kubelet
        .arg("--config")
        .arg(write(folder, "kubelet.json", &config)?)
        .arg("--kubeconfig")
        .arg(pki.kubeconfig(&KUBELET))
        .args([format!("--hostname-override={NAME}"), format!("--node-ip={ADDRESS}")]);
    Ok(kubelet)
}

/// kube-proxy, which makes Services of iptables rules.
pub(super) fn proxy(folder: &Path, pki: &Pki) -> Result<Command> {
    // Where the kernel does not show it the packets of a bridge, answers from one pod to another
    // would go past the rules that have to translate them back.
    let seen = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": pki.kubeconfig(&PROXY)},
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "oomScoreAdj": 0,
        // It leaves the machine's settings alone then.
        "conntrack": {
            "maxPerCore": 0, "min": 0,
            "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "100ms", "masqueradeAll": !seen},
    });
    let mut proxy = Command::new(tools::program("kube-proxy")?);
    proxy.arg("--config").arg(write(folder, "kube-proxy.json", &config)?);
    Ok(proxy)
}

/// CoreDNS, at the node's address.
pub(super) fn coredns(folder: &Path, pki: &Pki, machine: &Machine) -> Result<Command> {
    let text = format!(
        ".:53 {{
    bind {ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {}
    }}
}}
",
        pki.kubeconfig(&COREDNS).display()
    );
    let config = folder.join("Corefile");
    fs::write(&config, text)?;
    let mut coredns = Command::new(&machine.coredns);
    coredns.arg("-conf").arg(config);
    Ok(coredns)
}

/// Kubernetes reads JSON where it reads YAML.
fn write(folder: &Path, name: &str, config: &Value) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, config.to_string())?;
    Ok(path)
}
