//! Replaying what was done beside two watchers, and comparing what they are told.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::http;
use super::server::Registry;
use super::setup;
use super::socket::Socket;

const RECORDED: &str = include_str!("../data/watcher.txt");
/// The frames of the first watcher.
const FIRST: usize = 6;

/// Replays both watchers, and those that are refused.
pub(crate) fn all(registry: &Registry) -> Result<()> {
    let recorded: Vec<Value> =
        RECORDED.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (first, second) = recorded.split_at(FIRST);
    what_was_looked_up(registry, first).context("first watcher")?;
    a_lease_that_ends(registry, second).context("second watcher")?;
    unknown_services(registry).context("refused watchers")
}

fn what_was_looked_up(registry: &Registry, recorded: &[Value]) -> Result<()> {
    let named = |name: &str, version: &str| {
        setup::service(registry, &json!({"appId": "w", "serviceName": name, "version": version}))
    };
    let consumer = named("cons", "1.0.0")?;
    let (one, two) = (named("prov", "1.0.0")?, named("prov", "2.0.0")?);
    let call = |method: &str, path: &str, body: Option<Value>| {
        let headers = [("X-ConsumerId".to_owned(), consumer.clone())];
        let path = format!("/v4/default/registry/{path}");
        let body = body.map(|body| body.to_string());
        let reply = http::send(&registry.address, method, &path, &headers, body.as_deref())?;
        ensure!(reply.status == 200, "{method} {path}: {reply:?}");
        anyhow::Ok(())
    };
    let at = |service: &str, id: Option<&str>, port: u16| {
        let mut instance =
            json!({"hostName": "h", "endpoints": [format!("rest://127.0.0.1:{port}")]});
        if let Some(id) = id {
            instance["instanceId"] = id.into();
        }
        setup::instance(registry, service, &instance)
    };
    let mut watcher = connect(registry, &consumer, None)?;
    // Nobody has looked it up: this is not told.
    at(&one, Some("p1"), 1)?;
    call("GET", "instances?appId=w&serviceName=prov", None)?;
    let p2 = format!("microservices/{one}/instances/p2");
    let mut names = BTreeMap::new();
    let mut expected = recorded.iter();
    let mut told = |watcher: &mut Socket| {
        let message = next_text(watcher)?;
        compare(expected.next().context("nothing more was recorded")?, &message, &mut names)
    };
    at(&one, Some("p2"), 2)?;
    told(&mut watcher)?;
    call("PUT", &format!("{p2}/status?value=DOWN"), None)?;
    told(&mut watcher)?;
    call("PUT", &format!("{p2}/properties"), Some(json!({"properties": {"a": "b"}})))?;
    told(&mut watcher)?;
    // Of these four nothing is told, as the next message shows.
    call("PUT", &format!("{p2}/heartbeat"), None)?;
    at(&one, Some("p2"), 2)?;
    at(&one, Some("p2"), 99)?;
    let properties = json!({"properties": {"of": "the service"}});
    call("PUT", &format!("microservices/{one}/properties"), Some(properties))?;
    at(&one, None, 1)?;
    told(&mut watcher)?;
    at(&two, Some("p2v2"), 3)?;
    told(&mut watcher)?;
    call("DELETE", &p2, None)?;
    told(&mut watcher)?;
    watcher.wait_for_ping()
}

fn a_lease_that_ends(registry: &Registry, recorded: &[Value]) -> Result<()> {
    let named = |name: &str| {
        let service = json!({"appId": "w5", "serviceName": name, "version": "1.0.0"});
        setup::service(registry, &service)
    };
    let (consumer, provider) = (named("cons")?, named("prov")?);
    let headers = [("X-ConsumerId".to_owned(), consumer.clone())];
    let find = "/v4/default/registry/instances?appId=w5&serviceName=prov";
    http::send(&registry.address, "GET", find, &headers, None)?;
    let mut watcher = connect(registry, &consumer, None)?;
    let mut instance = json!({
        "instanceId": "x", "hostName": "h", "endpoints": ["rest://127.0.0.1:1"],
        "healthCheck": {"mode": "push", "interval": 1, "times": 0},
    });
    let mut names = BTreeMap::new();
    setup::instance(registry, &provider, &instance)?;
    compare(&recorded[0], &next_text(&mut watcher)?, &mut names)?;
    // It is not heard of again.
    compare(&recorded[1], &next_text(&mut watcher)?, &mut names)?;
    instance["instanceId"] = "y".into();
    instance["healthCheck"]["interval"] = 30.into();
    setup::instance(registry, &provider, &instance)?;
    compare(&recorded[2], &next_text(&mut watcher)?, &mut names)
}

fn unknown_services(registry: &Registry) -> Result<()> {
    let service = json!({"appId": "w", "serviceName": "cons", "version": "1.0.0"});
    let known = setup::service(registry, &service)?;
    for (id, header) in [("nope", None), (known.as_str(), Some(("X-Domain-Name", "other")))] {
        let mut watcher = connect(registry, id, header)?;
        ensure!(watcher.next()? == Message::text("service does not exist"), "for {id}");
        match watcher.next_or_end()? {
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => {}
            other => bail!("a connection that drops, not {other:?}"),
        }
    }
    // A header of another name has no effect.
    for header in [None, Some(("X-DomainName", "other"))] {
        connect(registry, &known, header)?.wait_for_ping()?;
    }
    Ok(())
}

fn connect(
    registry: &Registry,
    consumer: &str,
    header: Option<(&'static str, &str)>,
) -> Result<Socket> {
    Socket::connect(registry, &format!("microservices/{consumer}/watcher"), header)
}

fn next_text(watcher: &mut Socket) -> Result<Value> {
    loop {
        match watcher.next()? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Ping(payload) => ensure!(payload.is_empty(), "pings are empty"),
            other => bail!("{other:?} is neither text nor ping"),
        }
    }
}

/// Compares messages. Generated ids differ, and have to be the same in all messages.
fn compare(recorded: &Value, told: &Value, names: &mut BTreeMap<String, String>) -> Result<()> {
    let (mut recorded, mut told) = (recorded.clone(), told.clone());
    let id = |message: &Value| message["instance"]["instanceId"].as_str().map(str::to_owned);
    let (theirs, ours) = id(&recorded).zip(id(&told)).context("no instance")?;
    if theirs.len() == 32 {
        ensure!(ours.len() == 32 && names.entry(theirs).or_insert(ours.clone()) == &ours);
        recorded["instance"]["instanceId"] = ours.into();
    }
    for message in [&mut recorded, &mut told] {
        for time in ["timestamp", "modTimestamp"] {
            let digits = message["instance"][time].as_str().context("no time")?;
            ensure!(digits.parse::<u64>().is_ok());
            message["instance"][time] = Value::Null;
        }
    }
    ensure!(recorded == told, "recorded {recorded}\n    told {told}");
    Ok(())
}
