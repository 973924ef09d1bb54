//! The node with everything on it that a user would put there first.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::installation::{ENABLED, NAME, checkout};
use e2e::kubectl::{Answer, Kubectl, eventually};
use e2e::pod::{Pod, SIDECAR, items};
use serde_json::{Value, json};

/// Where the examples are.
pub(crate) const NAMESPACE: &str = "chassis";
/// Where the registry of the examples is.
pub(crate) const REGISTRY: &str = "servicecomb";
/// What a kubelet on a busy machine may take for anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);
/// The same, as kubectl is told.
const TIMEOUT: &str = "--timeout=240s";
/// The images whose containers are started.
const IMAGES: [&str; 4] = ["sidecar-injector", "mesher", "mockserver", "service-registry"];

/// The node, for one scenario at a time: an injector of two replicas, a registry, and the namespace
/// `chassis` with a client and a server that ask for their sidecars.
pub(crate) struct Place {
    pub(crate) kubectl: Kubectl<'static>,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    /// Waits for its turn. `None`: the machine cannot have a node, which is noted.
    pub(crate) fn take() -> Result<Option<Self>> {
        static TURN: Mutex<()> = Mutex::new(());
        static FURNISHED: OnceLock<Result<(), String>> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let node = match e2e::node::shared(&IMAGES)? {
            Ok(node) => node,
            Err(reason) => {
                testbed::skip(&reason);
                return Ok(None);
            }
        };
        let place = Self { kubectl: Kubectl(node.cluster()), _turn: turn };
        let furnish = || place.furnish().map_err(|error| format!("{error:#}"));
        FURNISHED.get_or_init(furnish).as_ref().map_err(|error| anyhow!("{error}"))?;
        Ok(Some(place))
    }

    /// What a user does first, in the words of the README.
    fn furnish(&self) -> Result<()> {
        let kubectl = self.kubectl;
        self.apply("manifests/overlays/ha")?;
        self.rolled_out(NAME, NAME)?;
        kubectl.run(&format!("create namespace {NAMESPACE}"))?;
        kubectl.run(&format!("label namespace {NAMESPACE} {ENABLED}"))?;
        self.wait_until_seen(NAMESPACE)?;
        kubectl.run(&format!("create -f {}", path("examples/registry")))?;
        let examples = path("examples/with-service-ports/sc");
        kubectl.run(&format!("create -f {examples} -n {NAMESPACE}"))?;
        self.rolled_out("service-center", REGISTRY)?;
        self.rolled_out("client", NAMESPACE)?;
        self.rolled_out("server", NAMESPACE)?;
        self.answers("server")
    }

    /// `kubectl apply -k` of a folder of the checkout.
    pub(crate) fn apply(&self, overlay: &str) -> Result<()> {
        self.kubectl.run(&format!("apply -k {}", path(overlay)))?;
        Ok(())
    }

    /// Waits until a Deployment is as it should be, with every pod ready.
    pub(crate) fn rolled_out(&self, deployment: &str, namespace: &str) -> Result<()> {
        let line = format!("rollout status deployment/{deployment} -n {namespace} {TIMEOUT}");
        self.kubectl.run(&line).map(|_| ()).with_context(|| self.story(namespace))
    }

    /// Sets how many pods a Deployment has, and waits for those, and for none but those.
    pub(crate) fn scale(&self, deployment: &str, namespace: &str, replicas: usize) -> Result<()> {
        let line = format!("scale deployment/{deployment} -n {namespace} --replicas={replicas}");
        self.kubectl.run(&line)?;
        self.rolled_out(deployment, namespace)?;
        self.settled(deployment, namespace, replicas).map(|_| ())
    }

    /// The pods of a Deployment, once the last of those that it gave up are gone.
    pub(crate) fn settled(
        &self,
        deployment: &str,
        namespace: &str,
        replicas: usize,
    ) -> Result<Vec<Pod>> {
        eventually(&format!("{replicas} pods of {deployment}"), PATIENCE, || {
            let selector = if namespace == NAME { "app.kubernetes.io/name" } else { "app" };
            let line = format!("pods -n {namespace} -l {selector}={deployment}");
            let list = self.kubectl.get(&line)?;
            let found = items(&list["items"]);
            Ok((found.len() == replicas).then(|| found.iter().cloned().map(Pod).collect()))
        })
        .with_context(|| self.story(namespace))
    }

    /// Waits until the API server shows the injector the pods of `namespace`: it takes a moment to
    /// go by a new label, a new CA, a new address.
    pub(crate) fn wait_until_seen(&self, namespace: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        eventually("the injector is called", PATIENCE, || {
            let pod = self.kubectl.post(&path, &e2e::pod::asking("probe"))?.succeeded()?.json()?;
            Ok(Pod(pod).container(SIDECAR).map(|_| ()))
        })
    }

    /// Waits until a service answers the client of the examples.
    pub(crate) fn answers(&self, service: &str) -> Result<()> {
        eventually(&format!("{service} answers"), PATIENCE, || {
            let url = format!("http://{service}:8080/");
            let answer = self.client(&["get", "--quiet", &url].join(" "))?;
            ensure!(answer.success, "{}", answer.stderr);
            Ok(Some(()))
        })
        .with_context(|| self.story(NAMESPACE))
    }

    /// `mockserver WORDS` where the client of the examples runs.
    pub(crate) fn client(&self, words: &str) -> Result<Answer> {
        self.mockserver_in("deploy/client", NAMESPACE, words)
    }

    /// `mockserver WORDS` in a pod of a namespace, or in one of a Deployment.
    pub(crate) fn mockserver_in(&self, pod: &str, namespace: &str, words: &str) -> Result<Answer> {
        self.kubectl.try_run(&format!("exec {pod} -n {namespace} -- mockserver {words}"))
    }

    /// Makes a namespace whose pods the injector sees.
    pub(crate) fn enabled(&self, name: &str) -> Result<()> {
        let (label, value) = ENABLED.split_once('=').context("no label")?;
        self.namespace(name, &json!({label: value}))?;
        self.wait_until_seen(name)
    }

    /// Makes a namespace with labels.
    pub(crate) fn namespace(&self, name: &str, labels: &Value) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        self.kubectl.run_with("create -f -", &namespace.to_string())?;
        let account = "--for=create serviceaccount/default";
        self.kubectl.run(&format!("wait {account} -n {name} {TIMEOUT}"))?;
        Ok(())
    }

    /// A service of the name one likes, from `examples/mockserver`, with changes of the text.
    pub(crate) fn mockserver(
        &self,
        name: &str,
        namespace: &str,
        changes: &[(&str, &str)],
    ) -> Result<()> {
        let text = std::fs::read_to_string(checkout("examples/mockserver/service.yaml"))?;
        let mut text = text.replace("${mockserver}", name);
        for (from, to) in changes {
            ensure!(text.contains(from), "the example has no {from}");
            text = text.replace(from, to);
        }
        self.kubectl.run_with(&format!("create -n {namespace} -f -"), &text)?;
        Ok(())
    }

    /// Runs a line in a shell, in the checkout, with our programs and kubectl on the PATH.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        let injector = testbed::binary(NAME)?;
        let kubectl = testbed::tools::program("kubectl")?;
        let folders = [&injector, &kubectl].map(|path| path.parent().unwrap_or(Path::new("/")));
        let folders = folders.map(|folder| folder.display().to_string()).join(":");
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", line])
            .current_dir(checkout(""))
            .env("PATH", format!("{folders}:/usr/bin:/bin"))
            .env("KUBECONFIG", self.kubectl.0.kubeconfig())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{line}` failed: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What Kubernetes has to tell of a namespace, for the message of a failure.
    pub(crate) fn story(&self, namespace: &str) -> String {
        let tell = |what: &str| {
            let line = format!("get {what} -n {namespace} -o wide");
            self.kubectl.try_run(&line).map_or_else(|error| error.to_string(), |told| told.stdout)
        };
        format!("{}\n{}", tell("pods"), tell("events --sort-by=.lastTimestamp"))
    }
}

/// A path of the checkout, as kubectl takes it.
pub(crate) fn path(place: &str) -> String {
    checkout(place).display().to_string()
}

/// The status of a container of a pod, init containers among them.
pub(crate) fn status<'p>(pod: &'p Pod, container: &str) -> Result<&'p Value> {
    let status = &pod.0["status"];
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists.iter().flat_map(|list| items(&status[list]));
    let found = all.find(|one| one["name"] == container);
    found.with_context(|| format!("{} has no {container}: {status:#}", pod.name()))
}

/// Both containers run, are ready and have never been restarted.
pub(crate) fn is_whole(pod: &Pod, application: &str) -> Result<()> {
    ensure!(pod.0["status"]["phase"] == "Running", "{}: {:#}", pod.name(), pod.0["status"]);
    for container in [application, SIDECAR] {
        let status = status(pod, container)?;
        let whole = status["ready"] == true && status["started"] == true;
        ensure!(whole && status["restartCount"] == 0, "{}: {status:#}", pod.name());
    }
    Ok(())
}
