//! A pod as the API server shows it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::installation::PATIENCE;
use crate::kubectl::{Kubectl, eventually};

/// Name of the injected container.
pub const SIDECAR: &str = "sidecar-mesher";

/// A pod as the API server shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod(pub Value);

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][key].as_str()
    }

    /// `sidecar.mesher.io/status`
    pub fn status(&self) -> Option<&str> {
        self.annotation("sidecar.mesher.io/status")
    }

    /// The containers, without init containers.
    pub fn containers(&self) -> &[Value] {
        items(&self.0["spec"]["containers"])
    }

    /// The init containers.
    pub fn init_containers(&self) -> &[Value] {
        items(&self.0["spec"]["initContainers"])
    }

    /// The volumes.
    pub fn volumes(&self) -> &[Value] {
        items(&self.0["spec"]["volumes"])
    }

    /// The container or init container `name`.
    pub fn container(&self, name: &str) -> Option<&Value> {
        self.init_containers().iter().chain(self.containers()).find(|each| each["name"] == name)
    }

    /// Exactly one sidecar: native, and started before everything else.
    pub fn sidecar(&self) -> Result<&Value> {
        let all = self.init_containers().iter().chain(self.containers());
        let count = all.filter(|each| each["name"] == SIDECAR).count();
        ensure!(count == 1, "{} has {count} sidecars: {:#}", self.name(), self.0);
        let first = &self.init_containers()[0];
        ensure!(
            first["name"] == SIDECAR && first["restartPolicy"] == "Always",
            "{}: the first init container is no sidecar: {first:#}",
            self.name()
        );
        Ok(first)
    }

    /// Nothing of ours but what the user wrote.
    pub fn is_bare(&self) -> Result<()> {
        let text = self.0["spec"].to_string();
        let written = self.annotation("sidecar.mesher.io/injected");
        ensure!(
            !text.contains("mesher-") && self.container(SIDECAR).is_none() && written.is_none(),
            "{} carries something of ours: {:#}",
            self.name(),
            self.0
        );
        Ok(())
    }
}

/// A pod of one container that asks for a sidecar.
pub fn asking(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

/// The items of a list that may be absent.
pub fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// The value of the variable `name` of a container; for one from elsewhere its `fieldPath`.
pub fn env<'c>(container: &'c Value, name: &str) -> Option<&'c str> {
    let variable = items(&container["env"]).iter().find(|each| each["name"] == name)?;
    variable["value"].as_str().or(variable["valueFrom"]["fieldRef"]["fieldPath"].as_str())
}

/// Waits until controllers have made `count` pods that `selector` matches.
pub fn pods(
    kubectl: Kubectl<'_>,
    namespace: &str,
    selector: &str,
    count: usize,
) -> Result<Vec<Pod>> {
    eventually(&format!("{count} pods with {selector} in {namespace}"), PATIENCE, || {
        let list = kubectl.get(&format!("pods -n {namespace} -l {selector}"))?;
        let found = items(&list["items"]);
        Ok((found.len() == count).then(|| found.iter().cloned().map(Pod).collect()))
    })
    .with_context(|| {
        let events = kubectl.run(&format!("get events -n {namespace}"));
        events.map_or_else(|error| format!("{error:#}"), |events| events.stdout)
    })
}
