use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::Registry;
use crate::socket::Socket;
use crate::{call, register, register_instance, wait_until};

/// The next message that is no ping.
fn next(socket: &mut Socket) -> Result<Message> {
    loop {
        match socket.next()? {
            Message::Ping(_) => {}
            other => return Ok(other),
        }
    }
}

#[test]
fn a_watch_ends_with_the_service_that_it_is_for() -> Result<()> {
    let registry = Registry::start(&[])?;
    let id = register(&registry, "consumer")?;
    let mut watcher = Socket::connect(&registry, &format!("microservices/{id}/watcher"), None)?;
    // Connected is not yet watching: that it is shows in the number of watchers.
    one_watches(&registry)?;
    let deleted = call(&registry, "DELETE", &format!("microservices/{id}"), None)?;
    ensure!(deleted.status == 200, "{deleted:?}");
    ensure!(watcher.next()? == Message::text("service does not exist"));
    match watcher.next_or_end()? {
        Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => Ok(()),
        other => bail!("a connection that drops, not {other:?}"),
    }
}

#[test]
fn pongs_are_heartbeats() -> Result<()> {
    let registry = Registry::start(&["--ping", "50ms"])?;
    let id = register(&registry, "s")?;
    register_instance(&registry, &id, "i")?;
    let path = |instance: &str| format!("microservices/{id}/instances/{instance}/heartbeat");
    let mut socket = Socket::connect(&registry, &path("i"), None)?;
    // The client answers pings while it is read.
    for _ in 0..3 {
        socket.wait_for_ping()?;
    }
    let beats = "service_registry_heartbeats_total ";
    let metrics = metrics(&registry)?;
    let count = metrics.lines().find_map(|line| line.strip_prefix(beats));
    ensure!(count.and_then(|count| count.parse().ok()) > Some(1_u64), "{metrics}");
    call(&registry, "DELETE", &format!("microservices/{id}/instances/i"), None)?;
    let mut unknown = Socket::connect(&registry, &path("nope"), None)?;
    for socket in [&mut socket, &mut unknown] {
        match next(socket)? {
            Message::Close(Some(frame)) => ensure!(u16::from(frame.code) == 4001, "{frame:?}"),
            other => bail!("{other:?} does not say to register again"),
        }
    }
    Ok(())
}

#[test]
fn a_watcher_hears_nothing_of_other_tenants() -> Result<()> {
    let registry = Registry::start(&[])?;
    let consumer = register(&registry, "c")?;
    let provider = register(&registry, "p")?;
    let other = "/v4/other/registry/microservices";
    let send = |method: &str, path: &str, body: &serde_json::Value| {
        let consumer = [("X-ConsumerId".to_owned(), consumer.clone())];
        crate::http::send(&registry.address, method, path, &consumer, Some(&body.to_string()))
    };
    let find = "/v4/default/registry/instances?appId=default&serviceName=p";
    ensure!(send("GET", find, &json!({}))?.status == 200);
    let mut watcher =
        Socket::connect(&registry, &format!("microservices/{consumer}/watcher"), None)?;
    one_watches(&registry)?;
    let theirs = send("POST", other, &json!({"service": {"serviceName": "p"}}))?.json();
    let theirs = theirs["serviceId"].as_str().unwrap_or_default();
    let instance = json!({"instance": {"instanceId": "theirs", "hostName": "h"}});
    ensure!(send("POST", &format!("{other}/{theirs}/instances"), &instance)?.status == 200);
    register_instance(&registry, &provider, "ours")?;
    let Message::Text(text) = next(&mut watcher)? else { bail!("a text") };
    ensure!(text.contains("\"ours\"") && !text.contains("theirs"), "{text}");
    Ok(())
}

/// Waits until there is a watcher.
fn one_watches(registry: &Registry) -> Result<()> {
    let watching = || Ok(metrics(registry)?.contains("service_registry_watchers 1\n"));
    wait_until("somebody watches", watching)
}

fn metrics(registry: &Registry) -> Result<String> {
    Ok(crate::http::send(&registry.address, "GET", "/metrics", &[], None)?.body)
}
