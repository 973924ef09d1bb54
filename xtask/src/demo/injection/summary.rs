//! What the pods turned out to be.

use serde_json::Value;

use crate::demo::screen::Screen;

const INJECT: &str = "sidecar.mesher.io/inject";
const STATUS: &str = "sidecar.mesher.io/status";
/// Of the sidecar's environment, what says whom it serves and whom it asks.
const TELLING: [&str; 7] = [
    "DISCOVERY_TYPE",
    "SERVICE_PORTS",
    "APP_PORTS",
    "MESHER_DEFAULT_SERVICE_NAME",
    "MESHER_DEFAULT_CSE_REGISTRY_ADDR",
    "POD_NAME",
    "INSTANCE_IP",
];

/// The native sidecar of a pod.
pub(super) fn sidecar(pod: &Value) -> Option<&Value> {
    let containers = list(&pod["spec"]["initContainers"]);
    containers.iter().find(|container| {
        container["name"] == "sidecar-mesher" && container["restartPolicy"] == "Always"
    })
}

/// Shows what one pod was given.
pub(super) fn inside(screen: &Screen, pod: &Value) {
    let Some(sidecar) = sidecar(pod) else { return };
    screen.say("");
    screen.say(&format!("Inside {}:", text(&pod["metadata"]["name"])));
    let ports: Vec<String> =
        list(&sidecar["ports"]).iter().map(|port| port["containerPort"].to_string()).collect();
    screen.fact(
        text(&sidecar["name"]),
        &format!(
            "image {}, ports {}; starts before the app and stops after it",
            text(&sidecar["image"]),
            ports.join(" ")
        ),
    );
    for variable in list(&sidecar["env"]) {
        let name = text(&variable["name"]);
        if TELLING.contains(&name) {
            screen.fact("", &format!("{name}={}", value(variable)));
        }
    }
    for container in list(&pod["spec"]["containers"]) {
        let proxies: Vec<String> = list(&container["env"])
            .iter()
            .filter(|variable| text(&variable["name"]).ends_with("_proxy"))
            .map(|variable| format!("{}={}", text(&variable["name"]), value(variable)))
            .collect();
        for (row, proxy) in proxies.iter().enumerate() {
            screen.fact(if row == 0 { text(&container["name"]) } else { "" }, proxy);
        }
    }
}

/// Says how many pods got what.
pub(super) fn count(screen: &Screen, pods: &[Value], refused: usize) {
    let injected = pods.iter().filter(|pod| sidecar(pod).is_some()).count();
    screen.fact(&format!("{injected} pods"), "asked, and carry the sidecar");
    for pod in pods.iter().filter(|pod| sidecar(pod).is_none()) {
        let annotations = &pod["metadata"]["annotations"];
        let why = match (annotations[STATUS].as_str(), annotations[INJECT].as_str()) {
            (Some(status), _) => status.trim_start_matches("skipped:"),
            (None, Some(_)) => "it said no",
            (None, None) => "it did not ask",
        };
        screen.fact(text(&pod["metadata"]["name"]), &format!("runs without one: {why}"));
    }
    screen.fact(&format!("{refused} pods"), "were refused: what they asked for does not exist");
}

fn value(variable: &Value) -> String {
    match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        Some(path) => format!("({path})"),
        None => text(&variable["value"]).to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
