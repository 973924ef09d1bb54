//! Would Kubernetes accept the patched pod? Checks what an injection can break, on our own copy:
//! a patch that yields an invalid pod blocks the pod even where the webhook's failures are ignored.

use std::collections::BTreeSet;

use crate::content::Node;

/// The first rule broken by `pod`; `ours` names the containers we added.
pub(crate) fn check(pod: Node<'_>, ours: &[String]) -> Result<(), String> {
    let spec = pod.at("spec");
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    unique("container", lists.into_iter().flat_map(|list| spec.list(list).iter()).map(Node::name))?;
    unique("volume", spec.list("volumes").iter().map(Node::name))?;
    let init = spec.list("initContainers").iter().map(|c| (c, true));
    let plain = spec.list("containers").iter().map(|c| (c, false));
    for (container, is_init) in
        init.chain(plain).filter(|(c, _)| ours.iter().any(|o| o == c.name()))
    {
        own_container(container, is_init, spec)
            .map_err(|e| format!("container {}: {e}", container.name()))?;
    }
    let annotations = pod.at("metadata").at("annotations").members().iter();
    let size: usize = annotations.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 256 * 1024 {
        return Err(format!("the annotations would be {size} bytes, over the 256 KiB of a pod"));
    }
    Ok(())
}

fn own_container(container: Node<'_>, is_init: bool, spec: Node<'_>) -> Result<(), String> {
    if container.text("image").is_empty() {
        return Err("it has no image".to_owned());
    }
    unique("variable", container.list("env").iter().map(Node::name))?;
    if container.list("env").iter().any(|v| v.name().is_empty()) {
        return Err("a variable has no name".to_owned());
    }
    let mounts = container.list("volumeMounts").iter();
    unique("mount path", mounts.clone().map(|m| m.text("mountPath")))?;
    let is_there = |mount: &str| spec.list("volumes").iter().any(|volume| volume.name() == mount);
    if let Some(mount) = mounts.map(Node::name).find(|m| !is_there(m)) {
        return Err(format!("it mounts a volume {mount} that the pod does not have"));
    }
    let ports = container.list("ports").iter();
    unique("port name", ports.clone().map(Node::name).filter(|n| !n.is_empty()))?;
    if let Some(port) = ports.map(Node::name).find(|n| n.len() > 15) {
        return Err(format!("the port name {port} has over 15 characters"));
    }
    let always = container.text("restartPolicy") == "Always";
    if is_init && !always {
        for key in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if container.has(key) {
                return Err(format!(
                    "{key} stands on an init container without restartPolicy: Always"
                ));
            }
        }
    }
    if !is_init && container.has("restartPolicy") {
        return Err("restartPolicy stands on a container that is no init container".to_owned());
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let names: Vec<&str> = names.collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("{what} {name} stands twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_every_rule_it_finds_broken() {
        let image = "m:1";
        for (spec, broken) in [
            (
                json!({"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "a"}]}),
                "container a stands twice",
            ),
            (json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "volume v stands twice"),
            (json!({"containers": [{"name": "m"}]}), "it has no image"),
            (
                json!({"containers": [{"name": "m", "image": image, "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]}),
                "a volume x",
            ),
            (
                json!({"containers": [{"name": "m", "image": image, "env": [{"name": "A"}, {"name": "A"}]}]}),
                "variable A stands twice",
            ),
            (
                json!({"containers": [{"name": "m", "image": image, "ports": [{"name": "a-name-over-fifteen"}]}]}),
                "over 15",
            ),
            (
                json!({"containers": [{"name": "m", "image": image, "restartPolicy": "Always"}]}),
                "no init container",
            ),
            (
                json!({"initContainers": [{"name": "m", "image": image, "startupProbe": {}}]}),
                "startupProbe stands",
            ),
            (
                json!({"volumes": [{"name": "v"}], "containers": [{"name": "m", "image": image, "volumeMounts": [
                {"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]}]}),
                "mount path /x stands twice",
            ),
        ] {
            let pod = json!({"spec": spec});
            let found = check(Node::from(&pod), &["m".to_owned()]).unwrap_err();
            assert!(found.contains(broken), "{found}");
        }
        let big = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
        assert!(check(Node::from(&big), &[]).unwrap_err().contains("256 KiB"));
    }
}
