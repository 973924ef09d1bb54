//! What the sidecar can know of its service without being told: defaults for its registration.

use crate::pod::Pod;
use crate::ports::SIDECAR_PORTS;
use crate::request::RequestInfo;

/// Labels `app`, `app.kubernetes.io/name`, then what made the pod, then a bare pod's fixed name.
/// Never the name of one replica: each would be a service of its own.
pub(crate) fn default_service_name<'a>(pod: Pod<'a>, request: &'a RequestInfo) -> Option<&'a str> {
    if let Some(name) = pod.label("app").or_else(|| pod.label("app.kubernetes.io/name")) {
        return Some(name);
    }
    if let Some(workload) = &request.workload {
        return Some(&workload.name);
    }
    let generated = pod.metadata().text("generateName").trim_end_matches('-');
    let name = match pod.controller() {
        // A StatefulSet's pods have fixed names with an ordinal, its owner has none.
        Some(("ReplicaSet", owner)) => without_template_hash(owner, pod),
        Some(("Job", owner)) => without_schedule(owner),
        Some((_, owner)) => owner,
        None if generated.is_empty() => match pod.metadata().text("name") {
            "" => &request.name,
            name => name,
        },
        None => without_template_hash(generated, pod),
    };
    (!name.is_empty()).then_some(name)
}

/// `web-7d4b9c6f5d` of a Deployment's ReplicaSet is `web`.
fn without_template_hash<'a>(name: &'a str, pod: Pod<'_>) -> &'a str {
    pod.label("pod-template-hash")
        .and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}

/// `backup-28391040` of a CronJob is `backup`: the suffix is the scheduled minute since 1970.
fn without_schedule(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, minute))
            if !rest.is_empty()
                && minute.len() >= 8
                && minute.bytes().all(|b| b.is_ascii_digit()) =>
        {
            rest
        }
        _ => name,
    }
}

/// The TCP ports the pod's own containers declare, in order, without ours: `8080,9000`.
pub(crate) fn app_ports(pod: Pod<'_>) -> Option<String> {
    let mut ports: Vec<u64> = Vec::new();
    for port in pod.containers().iter().flat_map(|c| c.list("ports").iter()) {
        let tcp = matches!(port.text("protocol"), "" | "TCP");
        let number = port.at("containerPort").as_u64().unwrap_or(0);
        let ours = SIDECAR_PORTS.iter().any(|p| u64::from(*p) == number);
        if tcp && number != 0 && !ours && !ports.contains(&number) {
            ports.push(number);
        }
    }
    let ports: Vec<String> = ports.iter().map(u64::to_string).collect();
    (!ports.is_empty()).then(|| ports.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Workload;
    use serde_json::{Value, json};

    fn name_of(pod: &Value) -> Option<String> {
        let request = RequestInfo::pod_create("default");
        default_service_name(Pod::of(pod), &request).map(str::to_owned)
    }

    fn owned(kind: &str, name: &str, labels: &Value) -> Value {
        json!({"metadata": {"generateName": format!("{name}-"), "labels": labels,
            "ownerReferences": [{"kind": kind, "name": name, "controller": true}]}})
    }

    #[test]
    fn the_service_is_named_by_label_then_owner_then_pod() {
        let hash = json!({"pod-template-hash": "7d4b9c6f5d"});
        for (pod, expected) in [
            (json!({"metadata": {"labels": {"app": "a", "app.kubernetes.io/name": "b"}}}), "a"),
            (json!({"metadata": {"labels": {"app": "", "app.kubernetes.io/name": "b"}}}), "b"),
            (owned("ReplicaSet", "web-7d4b9c6f5d", &hash), "web"),
            (owned("ReplicaSet", "7d4b9c6f5d", &hash), "7d4b9c6f5d"),
            (owned("ReplicaSet", "bare-replicaset", &json!({})), "bare-replicaset"),
            (owned("StatefulSet", "db", &json!({})), "db"),
            (owned("DaemonSet", "agent", &json!({})), "agent"),
            (owned("Job", "backup-28391040", &json!({})), "backup"),
            (owned("Job", "import-2024", &json!({})), "import-2024"),
            (json!({"metadata": {"generateName": "tmp-"}}), "tmp"),
            (json!({"metadata": {"generateName": "web-7d4b9c6f5d-", "labels": hash}}), "web"),
            (json!({"metadata": {"name": "orders-1"}}), "orders-1"),
        ] {
            assert_eq!(name_of(&pod).as_deref(), Some(expected), "{pod}");
        }
        assert_eq!(name_of(&json!({})), None);
        let mut request = RequestInfo::pod_create("default");
        request.workload = Some(Workload { kind: "Deployment".into(), name: "shop".into() });
        assert_eq!(default_service_name(Pod::of(&json!({})), &request), Some("shop"));
    }

    #[test]
    fn app_ports_are_the_declared_tcp_ports() {
        let pod = json!({"spec": {"containers": [
            {"ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]},
            {"ports": [{"containerPort": 8080, "protocol": "TCP"}, {"containerPort": 9000}, {"containerPort": 30101}]},
            {"ports": null}
        ]}});
        assert_eq!(app_ports(Pod::of(&pod)).as_deref(), Some("8080,9000"));
        assert_eq!(app_ports(Pod::of(&json!({}))), None);
    }
}
