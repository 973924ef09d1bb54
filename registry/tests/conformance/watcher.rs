//! Replaying what was done beside two watchers, and comparing what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::http;
use super::server::Registry;
use super::setup;

const RECORDED: &str = include_str!("../data/watcher.txt");
/// The frames of the first watcher.
const FIRST: usize = 6;
/// Nothing takes so long, also where pings come every 30 s and leases are 20 s.
const PATIENCE: Duration = Duration::from_mins(1);

/// Replays both watchers, and those that are refused.
pub(crate) fn all(registry: &Registry) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recorded: Vec<Value> =
        RECORDED.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (first, second) = recorded.split_at(FIRST);
    what_was_looked_up(registry, &runtime, first).context("first watcher")?;
    a_lease_that_ends(registry, &runtime, second).context("second watcher")?;
    unknown_services(registry, &runtime).context("refused watchers")
}

fn what_was_looked_up(registry: &Registry, runtime: &Runtime, recorded: &[Value]) -> Result<()> {
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
    let mut watcher = Watcher::connect(registry, runtime, &consumer, None)?;
    // Nobody has looked it up: this is not told.
    at(&one, Some("p1"), 1)?;
    call("GET", "instances?appId=w&serviceName=prov", None)?;
    let p2 = format!("microservices/{one}/instances/p2");
    let mut names = BTreeMap::new();
    let mut expected = recorded.iter();
    let mut told = |watcher: &mut Watcher<'_>| {
        let message = watcher.next_text()?;
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

fn a_lease_that_ends(registry: &Registry, runtime: &Runtime, recorded: &[Value]) -> Result<()> {
    let named = |name: &str| {
        let service = json!({"appId": "w5", "serviceName": name, "version": "1.0.0"});
        setup::service(registry, &service)
    };
    let (consumer, provider) = (named("cons")?, named("prov")?);
    let headers = [("X-ConsumerId".to_owned(), consumer.clone())];
    let find = "/v4/default/registry/instances?appId=w5&serviceName=prov";
    http::send(&registry.address, "GET", find, &headers, None)?;
    let mut watcher = Watcher::connect(registry, runtime, &consumer, None)?;
    let mut instance = json!({
        "instanceId": "x", "hostName": "h", "endpoints": ["rest://127.0.0.1:1"],
        "healthCheck": {"mode": "push", "interval": 1, "times": 0},
    });
    let mut names = BTreeMap::new();
    setup::instance(registry, &provider, &instance)?;
    compare(&recorded[0], &watcher.next_text()?, &mut names)?;
    // It is not heard of again.
    compare(&recorded[1], &watcher.next_text()?, &mut names)?;
    instance["instanceId"] = "y".into();
    instance["healthCheck"]["interval"] = 30.into();
    setup::instance(registry, &provider, &instance)?;
    compare(&recorded[2], &watcher.next_text()?, &mut names)
}

fn unknown_services(registry: &Registry, runtime: &Runtime) -> Result<()> {
    let service = json!({"appId": "w", "serviceName": "cons", "version": "1.0.0"});
    let known = setup::service(registry, &service)?;
    for (id, header) in [("nope", None), (known.as_str(), Some(("X-Domain-Name", "other")))] {
        let mut watcher = Watcher::connect(registry, runtime, id, header)?;
        ensure!(watcher.next()? == Message::text("service does not exist"), "for {id}");
        match watcher.next_or_end()? {
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => {}
            other => bail!("a connection that drops, not {other:?}"),
        }
    }
    // A header of another name has no effect.
    for header in [None, Some(("X-DomainName", "other"))] {
        Watcher::connect(registry, runtime, &known, header)?.wait_for_ping()?;
    }
    Ok(())
}

/// A WebSocket to the registry.
struct Watcher<'a> {
    socket: WebSocketStream<TcpStream>,
    runtime: &'a Runtime,
}

impl<'a> Watcher<'a> {
    fn connect(
        registry: &Registry,
        runtime: &'a Runtime,
        consumer: &str,
        header: Option<(&'static str, &str)>,
    ) -> Result<Self> {
        let path = format!("/v4/default/registry/microservices/{consumer}/watcher");
        let mut request = format!("ws://{}{path}", registry.address).into_client_request()?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse()?);
        }
        let socket = runtime.block_on(async {
            let stream = TcpStream::connect(&registry.address).await?;
            anyhow::Ok(client_async(request, stream).await?.0)
        })?;
        Ok(Self { socket, runtime })
    }

    fn next_or_end(&mut self) -> Result<Result<Message, Error>> {
        let next = self.runtime.block_on(async { timeout(PATIENCE, self.socket.next()).await });
        next.context("nothing is said")?.context("the end")
    }

    fn next(&mut self) -> Result<Message> {
        Ok(self.next_or_end()??)
    }

    fn next_text(&mut self) -> Result<Value> {
        loop {
            match self.next()? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Ping(payload) => ensure!(payload.is_empty(), "pings are empty"),
                other => bail!("{other:?} is neither text nor ping"),
            }
        }
    }

    fn wait_for_ping(&mut self) -> Result<()> {
        match self.next()? {
            Message::Ping(payload) if payload.is_empty() => Ok(()),
            other => bail!("{other:?} is no empty ping"),
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
