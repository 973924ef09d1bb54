//! The process `service-registry`: its data file, its port, its limits, its sockets and its end.

mod data_file;
mod ending;
mod limits;
mod port;
mod sockets;

#[path = "../running/http.rs"]
mod http;
#[path = "../running/server.rs"]
mod server;
#[path = "../running/socket.rs"]
mod socket;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use http::Reply;
use server::{PATIENCE, Registry};

/// Calls the v4 API of the default project.
fn call(registry: &Registry, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
    let path = format!("/v4/default/registry/{path}");
    let body = body.map(Value::to_string);
    http::send(&registry.address, method, &path, &[], body.as_deref())
}

/// Registers a service and says its id.
fn register(registry: &Registry, name: &str) -> Result<String> {
    let reply =
        call(registry, "POST", "microservices", Some(&json!({"service": {"serviceName": name}})))?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(reply.json()["serviceId"].as_str().unwrap_or_default().to_owned())
}

/// Registers an instance.
fn register_instance(registry: &Registry, service: &str, id: &str) -> Result<()> {
    let body = json!({"instance": {"instanceId": id, "hostName": "h"}});
    let path = format!("microservices/{service}/instances");
    let reply = call(registry, "POST", &path, Some(&body))?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

/// Waits for something to become true.
fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < PATIENCE, "not yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The names of all services.
fn names(registry: &Registry) -> Result<Vec<String>> {
    let reply = call(registry, "GET", "microservices", None)?.json();
    let services = reply["services"].as_array().cloned().unwrap_or_default();
    Ok(services.iter().filter_map(|it| it["serviceName"].as_str().map(str::to_owned)).collect())
}
