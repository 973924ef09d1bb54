//! An OpenTelemetry Collector, and the spans that have come to it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::{Guard, free_ports, tools};

use super::program::Program;
use super::{Mesh, eventually, loopback};

/// A collector that takes OTLP and Zipkin's JSON; whatever comes lies in a file.
#[derive(Debug)]
pub struct Collector {
    /// OTLP over HTTP.
    pub otlp: SocketAddr,
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// Zipkin.
    pub zipkin: SocketAddr,
    configuration: PathBuf,
    collected: PathBuf,
    program: Program,
}

/// A span as the collector understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// `service.name`
    pub service: String,
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub id: String,
    /// 16 digits; empty: the trace begins with it.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `client` or `server`
    pub kind: &'static str,
    /// All attributes, as text.
    pub tags: BTreeMap<String, String>,
    /// Names of events, with what their attributes say.
    pub events: Vec<String>,
    /// Whether it says that it went wrong.
    pub failed: bool,
}

impl Collector {
    /// Starts one. `identity`: the PEM files of chain and key, for TLS on its port for OTLP.
    pub fn start(mesh: &Mesh, identity: Option<(&Path, &Path)>) -> Result<Self> {
        let ports: [u16; 3] = free_ports()?;
        let [otlp, grpc, zipkin] = ports.map(loopback);
        let folder = mesh.guard().folder();
        let (configuration, collected) =
            (folder.join("otel-collector.yaml"), folder.join("spans.jsonl"));
        let tls = identity.map_or_else(String::new, |(chain, key)| {
            format!(", tls: {{cert_file: {}, key_file: {}}}", chain.display(), key.display())
        });
        let text = format!(
            "receivers:\n\
             \x20 otlp:\n\
             \x20   protocols:\n\
             \x20     http: {{endpoint: '{otlp}'{tls}}}\n\
             \x20     grpc: {{endpoint: '{grpc}'}}\n\
             \x20 zipkin: {{endpoint: '{zipkin}'}}\n\
             exporters:\n\
             \x20 lines: {{path: '{}'}}\n\
             service:\n\
             \x20 telemetry: {{metrics: {{level: none}}}}\n\
             \x20 pipelines:\n\
             \x20   traces: {{receivers: [otlp, zipkin], exporters: [lines]}}\n",
            collected.display()
        );
        fs::write(&configuration, text)?;
        let program = Program::default();
        let collector = Self { otlp, grpc, zipkin, configuration, collected, program };
        collector.start_again(mesh.guard())?;
        Ok(collector)
    }

    /// Starts it where it was.
    pub fn start_again(&self, guard: &Guard) -> Result<()> {
        let mut command = Command::new(tools::program("otel-collector")?);
        command.arg("--config").arg(format!("file:{}", self.configuration.display()));
        let addresses = [self.otlp, self.grpc, self.zipkin];
        self.program.start(guard, "otel-collector", command, &addresses)
    }

    /// Kills it as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.program.kill()
    }

    /// The spans that have come so far.
    pub fn spans(&self) -> Result<Vec<Collected>> {
        let text = fs::read_to_string(&self.collected).unwrap_or_default();
        let mut spans = Vec::new();
        // A line that is not whole yet is one of the future.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let batch: Value = serde_json::from_str(line)?;
            for ours in list(&batch["resourceSpans"]) {
                let resource = attributes(&ours["resource"]["attributes"]);
                let service = resource.get("service.name").cloned().unwrap_or_default();
                for span in list(&ours["scopeSpans"]).flat_map(|scope| list(&scope["spans"])) {
                    spans.push(Collected::read(&service, span));
                }
            }
        }
        Ok(spans)
    }

    /// Waits until `count` spans have come that `wanted` wants; returns these.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&Collected) -> bool,
    ) -> Result<Vec<Collected>> {
        eventually(&format!("{count} spans"), async || {
            let (found, others): (Vec<_>, Vec<_>) =
                self.spans()?.into_iter().partition(|span| wanted(span));
            Ok(if found.len() >= count { Ok(found) } else { Err(format!("{found:?} {others:?}")) })
        })
        .await
    }
}

impl Collected {
    fn read(service: &str, span: &Value) -> Self {
        let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
        let event = |event: &Value| {
            let mut text = event["name"].as_str().unwrap_or_default().to_owned();
            for (name, value) in attributes(&event["attributes"]) {
                let _ = write!(text, " {name}={value}");
            }
            text
        };
        Self {
            service: service.to_owned(),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            name: text("name"),
            kind: match span["kind"].as_i64() {
                Some(2) => "server",
                Some(3) => "client",
                _ => "",
            },
            tags: attributes(&span["attributes"]),
            events: list(&span["events"]).map(event).collect(),
            failed: span["status"]["code"].as_i64() == Some(2),
        }
    }

    /// What it says of `name`.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.get(name).map(String::as_str)
    }
}

/// The spans from the first to the last of a trace in which each has one child at most.
pub fn chain(spans: &[Collected]) -> Result<Vec<Collected>> {
    let root = |span: &&Collected| spans.iter().all(|other| other.id != span.parent);
    let roots: Vec<_> = spans.iter().filter(root).collect();
    ensure!(roots.len() == 1, "not one begins, but {roots:?} of {spans:?}");
    let mut chain = vec![roots[0].clone()];
    while let Some(last) = chain.last() {
        let children: Vec<_> = spans.iter().filter(|span| span.parent == last.id).collect();
        match children[..] {
            [] => break,
            [child] => chain.push(child.clone()),
            _ => anyhow::bail!("not one child of {last:?}, but {children:?}"),
        }
    }
    ensure!(chain.len() == spans.len(), "not all are in one chain: {spans:?}");
    Ok(chain)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let inner = value.as_object().and_then(|value| value.values().next()).cloned();
        match inner.unwrap_or_default() {
            Value::String(text) => text,
            other => other.to_string(),
        }
    };
    let name = |pair: &Value| pair["key"].as_str().unwrap_or_default().to_owned();
    list(value).map(|pair| (name(pair), text(&pair["value"]))).collect()
}
