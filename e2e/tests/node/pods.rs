//! What pods on the node can do, as a user sees it who has a kubeconfig.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::kubectl::Kubectl;
use serde_json::Value;
use testbed::node::NAME;
use testbed::{Node, binary, image};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: mockserver:0.1.0
    args: [-listenAddress=:8080, -delay=0s, -serviceName=server]
    ports: [{containerPort: 8080}]
    readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
    resources: {limits: {memory: 64Mi, cpu: 500m}}
---
apiVersion: v1
kind: Service
metadata: {name: backend}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  # Up before the application, and as long as it.
  initContainers:
  - name: native-sidecar
    image: mockserver:0.1.0
    args: [-listenAddress=:9090, -delay=0s, -serviceName=sidecar]
    restartPolicy: Always
    startupProbe: {httpGet: {path: /health, port: 9090}, periodSeconds: 1}
  containers:
  - {name: app, image: mockserver:0.1.0, args: [-delay=0s, -serviceName=client]}
";

/// The shared node, and a namespace with the pods above, which are ready; `None`: skipped.
fn pods(prefix: &str) -> Result<Option<(&'static Node, String)>> {
    let node = match e2e::node::shared(&["mockserver"])? {
        Ok(node) => node,
        Err(reason) => {
            testbed::skip(&reason);
            return Ok(None);
        }
    };
    let namespace = node.cluster().namespace(prefix)?;
    let kubectl = Kubectl(node.cluster());
    kubectl.run_with(&format!("apply -n {namespace} -f -"), PODS)?;
    let ready = "wait --for=condition=Ready pod --all --timeout=180s";
    kubectl.run(&format!("{ready} -n {namespace}"))?;
    Ok(Some((node, namespace)))
}

/// Who answers a GET that is made in the node, outside of all pods.
fn ask(node: &Node, url: &str) -> Result<String> {
    let output = node.command(binary("mockserver")?).args(["get", "--wait=60s", url]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{url}: {said}");
    answered(&output.stdout)
}

fn answered(answer: &[u8]) -> Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    Ok(answer["Service"].as_str().context("no service has answered")?.to_owned())
}

#[test]
fn a_pod_is_reached_by_address_service_and_name() -> Result<()> {
    let Some((node, namespace)) = pods("reached")? else { return Ok(()) };
    let kubectl = Kubectl(node.cluster());
    let pod = kubectl.get(&format!("pod server -n {namespace}"))?;
    assert_eq!(pod["spec"]["nodeName"], NAME);
    let address = pod["status"]["podIP"].as_str().context("no address")?;
    assert_eq!(ask(node, &format!("http://{address}:8080/"))?, "server");
    let service = kubectl.get(&format!("service backend -n {namespace}"))?;
    let cluster_ip = service["spec"]["clusterIP"].as_str().context("no cluster IP")?.to_owned();
    assert_eq!(ask(node, &format!("http://{cluster_ip}/"))?, "server");

    // From another pod and from itself; by address, and by the names that CoreDNS knows.
    let long = format!("backend.{namespace}.svc.cluster.local");
    for from in ["client -c app", "server"] {
        for host in [&cluster_ip, "backend", &long] {
            let get =
                format!("exec {from} -n {namespace} -- mockserver get --wait=60s http://{host}/");
            let answer = kubectl.run(&get)?;
            assert_eq!(answered(answer.stdout.as_bytes())?, "server", "{get}");
        }
    }
    let unknown =
        format!("exec client -c app -n {namespace} -- mockserver get http://nobody.{namespace}/");
    assert!(!kubectl.try_run(&unknown)?.success);
    Ok(())
}

#[test]
fn the_machine_looks_into_a_pod() -> Result<()> {
    let Some((node, namespace)) = pods("looked-into")? else { return Ok(()) };
    let kubectl = Kubectl(node.cluster());
    // A command's own exit status comes through.
    let version = format!("exec server -n {namespace} -- mockserver --version");
    assert!(kubectl.run(&version)?.stdout.starts_with("mockserver "));
    let wrong = format!("exec server -n {namespace} -- mockserver --no-such-flag");
    assert!(kubectl.try_run(&wrong)?.refused()?.contains("exit code 2"));

    let logs = kubectl.run(&format!("logs client -c native-sidecar -n {namespace}"))?;
    assert!(logs.stdout.contains("9090"), "{}", logs.stdout);

    // kubectl says at which port of this machine it listens.
    let mut forward = node.cluster().kubectl()?;
    forward.args(["port-forward", "service/backend", ":80", "--namespace", &namespace]);
    let mut forward = forward.stdout(Stdio::piped()).spawn()?;
    // It ends when nobody reads what it says of each connection.
    let mut output = BufReader::new(forward.stdout.take().context("no output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let asked = line.split_whitespace().nth(2).context("kubectl forwards nothing").and_then(|at| {
        let get = ["get", "--no-proxy", "--wait=60s", &format!("http://{at}/")];
        Ok(Command::new(binary("mockserver")?).args(get).output()?)
    });
    forward.kill()?;
    forward.wait()?;
    assert_eq!(answered(&asked?.stdout)?, "server", "{line}");
    Ok(())
}

#[test]
fn an_image_can_come_later() -> Result<()> {
    let Some((node, namespace)) = pods("later")? else { return Ok(()) };
    let kubectl = Kubectl(node.cluster());
    node.import(&image("service-registry")?)?;
    kubectl.run(&format!("run registry --image=service-registry:0.1.0 -n {namespace}"))?;
    kubectl
        .run(&format!("wait --for=condition=Ready pod/registry --timeout=180s -n {namespace}"))?;
    let pod = kubectl.get(&format!("pod registry -n {namespace}"))?;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);

    let error = node.import("/no/such/image.tar".as_ref()).expect_err("it is not there");
    assert!(format!("{error:#}").contains("/no/such/image.tar"), "{error:#}");
    let text = tempfile::NamedTempFile::new()?;
    std::fs::write(text.path(), "no archive at all")?;
    let error = format!("{:#}", node.import(text.path()).expect_err("no archive"));
    assert!(error.contains("containerd refused"), "{error}");
    Ok(())
}

/// What the machine has stays as it is, whatever is done in the node.
#[test]
fn the_files_of_the_machine_cannot_be_changed_from_within() -> Result<()> {
    let Some((node, _)) = pods("files")? else { return Ok(()) };
    for place in ["/etc/of-the-node", "/usr/of-the-node"] {
        let touched = node.command("touch").arg(place).output()?;
        assert!(!touched.status.success(), "{place}");
    }
    let output = node.command("cat").arg("/proc/sys/vm/overcommit_memory").output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "as the kubelet wants it");
    Ok(())
}
