//! Would Kubernetes accept the patched pod? Checks what an injection can break, on our own copy:
//! a patch that yields an invalid pod blocks the pod even where the webhook's failures are ignored.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::pod::{Pod, list, name, text};

/// The first rule broken; `ours` names the containers we added.
pub(crate) fn check(pod: Pod<'_>, ours: &BTreeSet<&str>) -> Result<(), String> {
    unique("container", pod.all_containers().map(name))?;
    unique("volume", pod.volumes().iter().map(name))?;
    let volumes: BTreeSet<&str> = pod.volumes().iter().map(name).collect();
    let init = pod.init_containers().iter().map(|c| (c, true));
    let plain = pod.containers().iter().map(|c| (c, false));
    for (container, is_init) in init.chain(plain).filter(|(c, _)| ours.contains(name(c))) {
        own_container(container, is_init, &volumes)
            .map_err(|e| format!("container {}: {e}", name(container)))?;
    }
    let annotations = pod.annotations().into_iter().flatten();
    let size: usize = annotations.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 256 * 1024 {
        return Err(format!("the annotations would be {size} bytes, over the 256 KiB of a pod"));
    }
    Ok(())
}

fn own_container(container: &Value, is_init: bool, volumes: &BTreeSet<&str>) -> Result<(), String> {
    if text(container, "image").is_empty() {
        return Err("it has no image".to_owned());
    }
    unique("variable", list(container, "env").iter().map(name))?;
    if list(container, "env").iter().any(|v| name(v).is_empty()) {
        return Err("a variable has no name".to_owned());
    }
    let mounts = list(container, "volumeMounts");
    unique("mount path", mounts.iter().map(|m| text(m, "mountPath")))?;
    if let Some(mount) = mounts.iter().map(name).find(|m| !volumes.contains(m)) {
        return Err(format!("it mounts a volume {mount} that the pod does not have"));
    }
    let ports = list(container, "ports");
    unique("port name", ports.iter().map(name).filter(|n| !n.is_empty()))?;
    if let Some(port) = ports.iter().map(name).find(|n| n.len() > 15) {
        return Err(format!("the port name {port} has over 15 characters"));
    }
    let always = text(container, "restartPolicy") == "Always";
    if is_init && !always {
        for key in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if container.get(key).is_some_and(|v| !v.is_null()) {
                return Err(format!(
                    "{key} stands on an init container without restartPolicy: Always"
                ));
            }
        }
    }
    if !is_init && container.get("restartPolicy").is_some_and(|v| !v.is_null()) {
        return Err("restartPolicy stands on a container that is no init container".to_owned());
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{what} {name} stands twice"));
        }
    }
    Ok(())
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
            let found = check(Pod(&pod), &BTreeSet::from(["m"])).unwrap_err();
            assert!(found.contains(broken), "{found}");
        }
        let big = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
        assert!(check(Pod(&big), &BTreeSet::new()).unwrap_err().contains("256 KiB"));
    }
}
