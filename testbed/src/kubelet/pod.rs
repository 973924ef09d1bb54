//! The pods that manifests ask for.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A pod, as its manifest describes it.
#[derive(Debug, Clone)]
pub struct Pod {
    /// `web-0` for the first replica of the Deployment `web`.
    pub name: String,
    /// Its namespace; `default` where the manifest names none.
    pub namespace: String,
    /// Who made it: the Deployment's name, say, or its own.
    pub owner: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its `spec`.
    pub(super) spec: Value,
}

impl Pod {
    /// Every pod of the manifests, a stream of YAML documents: those that stand there, and as many
    /// replicas as there are to be of those that are templates. Objects without a pod are left out.
    pub fn read(manifests: &str) -> Result<Vec<Self>> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(manifests).context("the manifests are no YAML")?;
        let mut pods = Vec::new();
        for document in &documents {
            let owner = text(&document["metadata"]["name"]);
            if document["kind"] == "Pod" {
                pods.push(Self::of(document, document, owner, owner.to_owned())?);
                continue;
            }
            let template = &document["spec"]["template"];
            if template["spec"]["containers"].is_array() {
                for replica in 0..document["spec"]["replicas"].as_u64().unwrap_or(1) {
                    pods.push(Self::of(document, template, owner, format!("{owner}-{replica}"))?);
                }
            }
        }
        Ok(pods)
    }

    fn of(object: &Value, pod: &Value, owner: &str, name: String) -> Result<Self> {
        ensure!(pod["spec"]["containers"].is_array(), "{name} has no containers");
        let labels = pod["metadata"]["labels"].as_object();
        let label = |(name, value): (&String, &Value)| (name.clone(), text(value).to_owned());
        Ok(Self {
            name,
            namespace: object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned(),
            owner: owner.to_owned(),
            labels: labels.into_iter().flatten().map(label).collect(),
            spec: pod["spec"].clone(),
        })
    }

    /// Leaves a volume out, and its mounts, as nobody will look there. Says whether it had one.
    pub fn leave_out(&mut self, volume: &str) -> bool {
        let is_another = |one: &Value| one["name"] != volume;
        for kind in ["initContainers", "containers"] {
            let containers = self.spec.get_mut(kind).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let mounts = container.get_mut("volumeMounts").and_then(Value::as_array_mut);
                if let Some(mounts) = mounts {
                    mounts.retain(is_another);
                }
            }
        }
        let volumes = self.spec.get_mut("volumes").and_then(Value::as_array_mut);
        volumes.is_some_and(|volumes| {
            let before = volumes.len();
            volumes.retain(is_another);
            volumes.len() < before
        })
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A string, or none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_manifests() -> Result<()> {
        let pods = Pod::read(
            "kind: Service\nmetadata: {name: web}\nspec: {ports: []}\n---\n\
             kind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 2\n  \
             template:\n    metadata: {labels: {app: web}}\n    \
             spec: {containers: [{name: a, image: a}]}\n---\n\
             kind: Pod\nmetadata: {name: alone}\nspec: {containers: []}\n",
        )?;
        let names: Vec<_> = pods.iter().map(|pod| (&*pod.namespace, &*pod.name)).collect();
        assert_eq!(names, [("shop", "web-0"), ("shop", "web-1"), ("default", "alone")]);
        assert_eq!((pods[1].label("app"), &*pods[1].owner), (Some("web"), "web"));
        assert_eq!(pods[2].label("app"), None);
        Ok(())
    }

    #[test]
    fn a_volume_is_left_out_with_its_mounts() -> Result<()> {
        let mut pods = Pod::read(
            "kind: Pod\nmetadata: {name: web}\nspec:\n  \
             containers: [{name: a, volumeMounts: [{name: b}, {name: c}]}, {name: d}]\n  \
             volumes: [{name: b}, {name: c}]\n",
        )?;
        assert!(pods[0].leave_out("b") && !pods[0].leave_out("b"));
        let spec = pods[0].spec.to_string();
        assert!(!spec.contains("\"b\"") && spec.matches("\"c\"").count() == 2, "{spec}");
        Ok(())
    }
}
