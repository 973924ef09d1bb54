//! Requests and limits of the sidecar, so that quotas and the pod's QoS class stay what they were.

use crate::annotations::Settings;
use crate::content::{Content, Node};
use crate::pod::Pod;
use crate::quantity::Quantity;

/// CPU limit where the pod's own containers all have one, as a ResourceQuota may demand.
const CPU_LIMIT: &str = "500m";

/// Sets what the pod's annotations say, then what its own containers imply:
/// - where all have a CPU limit, the sidecar gets one (a quota on `limits.cpu` demands it);
/// - where all have limits equal to requests for CPU and memory, so has the sidecar, at the height
///   of its limits, unless an annotation fixes the request (the pod's QoS class stays Guaranteed).
///
/// `pod` is the pod without us.
pub(crate) fn settle(sidecar: &mut Content<'_>, pod: Pod<'_>, settings: &Settings) {
    let said = |quantity: &Option<Quantity>| quantity.as_ref().map(|q| q.as_str().to_owned());
    for (side, resource, value) in [
        ("requests", "cpu", said(&settings.cpu)),
        ("requests", "memory", said(&settings.memory)),
        ("limits", "cpu", said(&settings.cpu_limit)),
        ("limits", "memory", said(&settings.memory_limit)),
    ] {
        if let Some(value) = value {
            set(sidecar, side, resource, value);
        }
    }
    let own = || pod.containers().iter().chain(pod.init_containers().iter());
    let all = |test: &dyn Fn(Node<'_>) -> bool| own().next().is_some() && own().all(test);
    if all(&|c| quantity(c, "limits", "cpu").is_some()) && get(sidecar, "limits", "cpu").is_none() {
        set(sidecar, "limits", "cpu", CPU_LIMIT.to_owned());
    }
    let guaranteed = |c: Node<'_>| {
        ["cpu", "memory"].iter().all(|resource| match quantity(c, "limits", resource) {
            // An absent request defaults to the limit.
            Some(limit) => quantity(c, "requests", resource).is_none_or(|r| r == limit),
            None => false,
        })
    };
    if all(&guaranteed) {
        for (resource, request, limit) in [
            ("cpu", &settings.cpu, &settings.cpu_limit),
            ("memory", &settings.memory, &settings.memory_limit),
        ] {
            match (request, limit) {
                // Two values given: the user's decision, whatever it does to the class.
                (Some(_), Some(_)) => {}
                (Some(request), None) => {
                    set(sidecar, "limits", resource, request.as_str().to_owned());
                }
                (None, _) => {
                    if let Some(limit) = get(sidecar, "limits", resource) {
                        set(sidecar, "requests", resource, limit);
                    }
                }
            }
        }
    }
    // A limit below the request is refused by Kubernetes: one of ours gives way to the user's.
    for (resource, request, limit) in [
        ("cpu", &settings.cpu, &settings.cpu_limit),
        ("memory", &settings.memory, &settings.memory_limit),
    ] {
        let value = |side| get(sidecar, side, resource).and_then(|v| Quantity::parse(&v));
        if let (Some(have), Some(most)) = (value("requests"), value("limits"))
            && have > most
        {
            if limit.is_some() && request.is_none() {
                set(sidecar, "requests", resource, most.as_str().to_owned());
            } else {
                set(sidecar, "limits", resource, have.as_str().to_owned());
            }
        }
    }
}

fn quantity(container: Node<'_>, side: &str, resource: &str) -> Option<Quantity> {
    match container.at("resources").at(side).get(resource)? {
        Node::Text(text) => Quantity::parse(text),
        Node::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    }
}

fn get(sidecar: &Content<'_>, side: &str, resource: &str) -> Option<String> {
    let value = sidecar.node().at("resources").at(side).text(resource);
    (!value.is_empty()).then(|| value.to_owned())
}

fn set(sidecar: &mut Content<'_>, side: &'static str, resource: &'static str, value: String) {
    *sidecar.member("resources").member(side).member(resource) = Content::Text(value.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use serde_json::{Map, Value, json};

    fn settled(annotations: &Value, own: &[Value]) -> Value {
        let containers: Vec<Value> =
            own.iter().map(|r| json!({"name": "a", "resources": r})).collect();
        let pod =
            json!({"metadata": {"annotations": annotations}, "spec": {"containers": containers}});
        let settings = Settings::read(Pod::of(&pod), &Policy::builtin().templates).unwrap();
        let mut sidecar = Content::from(json!({"resources": {
            "requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}}));
        settle(&mut sidecar, Pod::of(&pod), &settings);
        let r = &sidecar.to_value()["resources"];
        json!([
            r["requests"]["cpu"],
            r["requests"]["memory"],
            r["limits"]["cpu"],
            r["limits"]["memory"]
        ])
    }

    #[test]
    fn requests_and_limits_follow_the_pod() {
        let guaranteed =
            json!({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "1000m"}});
        let limited = json!({"limits": {"cpu": "1"}});
        let none = json!({});
        let burstable = json!({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "10m"}});
        let p = |pairs: &[(&str, &str)]| {
            let map: Map<String, Value> =
                pairs.iter().map(|(k, v)| (format!("sidecar.mesher.io/{k}"), json!(v))).collect();
            Value::Object(map)
        };
        for (annotations, own, expected) in [
            (p(&[]), vec![none.clone()], json!(["50m", "32Mi", null, "128Mi"])),
            (p(&[]), vec![limited.clone(), none.clone()], json!(["50m", "32Mi", null, "128Mi"])),
            (
                p(&[]),
                vec![limited.clone(), limited.clone()],
                json!(["50m", "32Mi", "500m", "128Mi"]),
            ),
            (p(&[]), vec![guaranteed.clone()], json!(["500m", "128Mi", "500m", "128Mi"])),
            (
                p(&[("cpu", "100m")]),
                vec![guaranteed.clone()],
                json!(["100m", "128Mi", "100m", "128Mi"]),
            ),
            (
                p(&[("cpuLimit", "2")]),
                vec![guaranteed.clone()],
                json!(["2", "128Mi", "2", "128Mi"]),
            ),
            (
                p(&[("cpu", "1"), ("cpuLimit", "2")]),
                vec![guaranteed],
                json!(["1", "128Mi", "2", "128Mi"]),
            ),
            (p(&[]), vec![burstable], json!(["50m", "32Mi", "500m", "128Mi"])),
            (p(&[("cpu", "1")]), vec![limited], json!(["1", "32Mi", "1", "128Mi"])),
            (p(&[("memory", "1Gi")]), vec![none.clone()], json!(["50m", "1Gi", null, "1Gi"])),
            (p(&[("memoryLimit", "16Mi")]), vec![none], json!(["50m", "16Mi", null, "16Mi"])),
        ] {
            assert_eq!(settled(&annotations, &own), expected, "{annotations} {own:?}");
        }
    }
}
