//! What was registered before and between the recordings, and is seen in them.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::http;
use super::server::Registry;

/// Registers a service and says its id.
pub(crate) fn service(registry: &Registry, service: &Value) -> Result<String> {
    let body = json!({"service": service});
    let reply = post(registry, "/v4/default/registry/microservices", &body)?;
    Ok(reply["serviceId"].as_str().unwrap_or_default().to_owned())
}

/// Registers an instance.
pub(crate) fn instance(registry: &Registry, service: &str, instance: &Value) -> Result<()> {
    let path = format!("/v4/default/registry/microservices/{service}/instances");
    post(registry, &path, &json!({"instance": instance}))?;
    Ok(())
}

fn post(registry: &Registry, path: &str, body: &Value) -> Result<Value> {
    let reply = http::send(&registry.address, "POST", path, &[], Some(&body.to_string()))?;
    ensure!(reply.status == 200, "POST {path} {body}: {reply:?}");
    Ok(reply.json())
}

/// Before a recording.
pub(crate) fn before(registry: &Registry, recording: &str) -> Result<()> {
    let named = |app: &str, name: &str, version: &str| json!({"appId": app, "serviceName": name, "version": version});
    let plain =
        |app: &str, name: &str, version: &str| service(registry, &named(app, name, version));
    let at = |id: &str, port: u16| {
        let endpoint = format!("rest://127.0.0.1:{port}");
        json!({"instanceId": id, "hostName": "h", "endpoints": [endpoint]})
    };
    match recording {
        "services" => {
            plain("pr", "q1795252888", "1.0.0")?;
            let client = json!({
                "serviceName": "ClientX", "schemas": ["ClientX"], "alias": "default:ClientX",
                "properties": {"allowCrossApp": "true"}, "registerBy": "SIDECAR",
                "framework": {"name": "Mesher", "version": "latest"},
            });
            service(registry, &client)?;
        }
        "instances" => {
            plain("shop", "frontend", "1.0.0")?;
            plain("shop", "orders", "1.1.0")?;
            plain("shop", "orders", "2.0.0")?;
            let mut production = named("shop", "frontend", "1.0.0");
            production["environment"] = "production".into();
            service(registry, &production)?;
            let stock = plain("otherapp", "stock", "1.0.0")?;
            instance(registry, &stock, &at("ix", 8131))?;
            let mut open = named("otherapp", "openstock", "1.0.0");
            open["properties"] = json!({"allowCrossApp": "true"});
            let open = service(registry, &open)?;
            instance(registry, &open, &at("ixa", 8132))?;
        }
        _ => {
            let a = plain("t7", "a", "1.0.0")?;
            instance(registry, &a, &at("a1", 1))?;
            plain("t7", "c", "1.0.0")?;
            let z = plain("t7", "z", "1.0.0")?;
            instance(registry, &z, &at("z1", 1))?;
        }
    }
    Ok(())
}
