//! Who the application is.

use std::collections::BTreeMap;

use discovery::servicecenter::{Given, acceptable};

use super::Reader;
use crate::configuration::values::Entry;
use crate::settings::{Identity, Listeners, Pod, Settings};

pub(super) fn identity(reader: &mut Reader<'_>, listeners: &Listeners) -> Identity {
    let built_in = Settings::default().identity;
    let text = |key: &str, built_in: &str| {
        reader.text(&[&format!("servicecomb.service.{key}")]).unwrap_or(built_in).to_owned()
    };
    let (app, service, version, environment, mut host) = (
        text("app", &built_in.app),
        text("name", &built_in.service),
        text("version", &built_in.version),
        text("environment", ""),
        text("hostname", ""),
    );
    let pod = pod(reader);
    if host == "$INTERNAL_IP" {
        host = listeners.addresses.first().map(ToString::to_string).unwrap_or_default();
    }
    if host.is_empty() {
        host = pod.as_ref().map(|pod| pod.name.clone()).unwrap_or_default();
    }
    if host.is_empty() {
        host = reader.environment.get("HOSTNAME").cloned().unwrap_or_default();
    }

    let given = Given {
        app: &app,
        service: &service,
        version: &version,
        environment: &environment,
        host: &host,
    };
    let accepted = acceptable(given);
    for (label, key, became) in [
        ("app_label", "app", accepted.app.as_str()),
        ("service_label", "name", accepted.service.as_str()),
        ("environment_label", "environment", accepted.environment),
    ] {
        if let (Some(raw), Some(entry)) =
            (accepted.raw.get(label), reader.entry(&[&format!("servicecomb.service.{key}")]))
        {
            let message = format!(
                "service-center does not take \"{}\": it is registered as \"{became}\"",
                crate::configuration::kind::short(raw)
            );
            reader.warning(entry, message);
        }
    }

    let properties = |prefix: &str| -> BTreeMap<String, String> {
        let text =
            |(name, entry): (&str, &Entry)| Some((name.to_owned(), entry.text()?.to_owned()));
        reader.values.below(prefix).filter_map(text).collect()
    };
    let mut instance_properties = properties("servicecomb.service.instanceProperties");
    if let Some(pod) = &pod
        && !pod.node_ip.is_empty()
    {
        instance_properties.entry("nodeIP".into()).or_insert_with(|| pod.node_ip.clone());
    }
    let service_properties = properties("servicecomb.service.properties");
    Identity {
        app,
        service,
        version,
        environment,
        host,
        pod,
        instance_properties,
        service_properties,
    }
}

fn pod(reader: &Reader<'_>) -> Option<Pod> {
    let text = |key: &str| reader.text(&[&format!("mesher.pod.{key}")]).unwrap_or("").to_owned();
    let pod = Pod {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        node: text("node"),
        node_ip: text("nodeIp"),
        service_account: text("serviceAccount"),
        labels: reader.labels.clone(),
    };
    (pod != Pod::default()).then_some(pod)
}
