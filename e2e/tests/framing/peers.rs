//! Other servers, as judges: what do they read in the bytes that a proxy sent on?

use std::net::SocketAddr;
use std::process::Command;
use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use e2e::mesh::{Client, Raw, eventually, loopback};
use serde_json::Value;
use testbed::{Guard, Server, free_ports, tools};

use crate::capture::{Capture, Meaning};

/// A server that says what it reads.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    address: SocketAddr,
    /// nginx and Envoy are asked by being proxies: what they send on is what they read.
    capture: Option<Capture>,
    _server: Server,
}

impl Peer {
    /// Go's `net/http`.
    pub(crate) async fn go(guard: &Guard) -> Result<Self> {
        let [port] = free_ports()?;
        let mut command = Command::new(tools::program("httpecho")?);
        command.arg(loopback(port).to_string());
        Self::start("Go", guard, command, port, None).await
    }

    /// nginx; `Err`: why it is not to be had here.
    pub(crate) async fn nginx(guard: &Guard) -> Result<Result<Self, String>> {
        let program = match usable("nginx", "-v") {
            Ok(program) => program,
            Err(reason) => return Ok(Err(reason)),
        };
        let [port] = free_ports()?;
        let capture = Capture::start().await?;
        let folder = guard.folder().join("nginx");
        fs::create_dir_all(&folder)?;
        let file = folder.join("nginx.conf");
        let upstream = capture.upstream.address;
        // Unlike its defaults: it keeps what it sends on as it came, and refuses no length.
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{ worker_connections 64; }}
             http {{
               access_log off; client_max_body_size 0;
               client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
               uwsgi_temp_path uwsgi; scgi_temp_path scgi;
               server {{
                 listen 127.0.0.1:{port};
                 location / {{
                   proxy_pass http://{upstream}; proxy_http_version 1.1;
                   proxy_set_header Host $http_host; proxy_set_header Connection \"\";
                 }}
               }}
             }}"
        );
        fs::write(&file, text)?;
        let mut command = Command::new(program);
        command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(&file);
        Ok(Ok(Self::start("nginx", guard, command, port, Some(capture)).await?))
    }

    /// Envoy; `Err`: why it is not to be had here.
    pub(crate) async fn envoy(guard: &Guard) -> Result<Result<Self, String>> {
        let program = match usable("envoy", "--version") {
            Ok(program) => program,
            Err(reason) => return Ok(Err(reason)),
        };
        let [port] = free_ports()?;
        let capture = Capture::start().await?;
        let file = guard.folder().join("envoy.yaml");
        let upstream = capture.upstream.address.port();
        let text = include_str!("envoy.yaml")
            .replace("LISTEN", &port.to_string())
            .replace("UPSTREAM", &upstream.to_string());
        fs::write(&file, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file);
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
        Ok(Ok(Self::start("Envoy", guard, command, port, Some(capture)).await?))
    }

    async fn start(
        name: &'static str,
        guard: &Guard,
        mut command: Command,
        port: u16,
        capture: Option<Capture>,
    ) -> Result<Self> {
        let address = loopback(port);
        let server = guard.spawn(name, &mut command)?;
        eventually(&format!("answered by {name}"), async || {
            ensure!(server.is_running(), "{name} ended: {}", server.log());
            let reply = Client::once(address, "GET", "/", "").await;
            Ok(match reply {
                Ok(reply) if reply.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await?;
        if let Some(capture) = &capture {
            capture.take();
        }
        Ok(Self { name, address, capture, _server: server })
    }

    /// What it reads in `raw`, which holds requests of these methods.
    pub(crate) async fn read(&self, raw: &[u8], methods: &[&str]) -> Result<Vec<Meaning>> {
        let mut client = Raw::connect(self.address).await?;
        client.send(raw).await?;
        let mut told = Vec::new();
        for method in methods {
            let reply = client.reply(method).await?;
            ensure!(reply.status == 200, "it answered {}: {}", reply.status, reply.text());
            if self.capture.is_none() && *method != "HEAD" {
                told.push(meaning(&reply.json()?)?);
            }
        }
        // And there is nothing more on the connection than these.
        client.send("GET /last HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n").await?;
        let reply = client.reply("GET").await?;
        ensure!(reply.status == 200, "the last one was answered with {}", reply.status);
        let Some(capture) = &self.capture else {
            ensure!(meaning(&reply.json()?)?.target == "/last");
            return Ok(told);
        };
        let mut seen: Vec<_> = capture.take().into_iter().map(|one| one.meaning).collect();
        let last = seen.pop().context("it sent nothing on")?;
        ensure!(last.target == "/last", "it took {:?} for the last", last.target);
        Ok(seen)
    }
}

/// A program of a kind that may be missing.
fn usable(name: &str, question: &str) -> Result<PathBuf, String> {
    let program = tools::program(name).map_err(|error| format!("{error:#}"))?;
    match Command::new(&program).arg(question).output() {
        Ok(output) if output.status.success() => Ok(program),
        other => Err(format!("{name} does not run here: {other:?}")),
    }
}

fn meaning(told: &Value) -> Result<Meaning> {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let case = told["case"].as_array().into_iter().flatten();
    Ok(Meaning {
        method: text("method"),
        target: text("target"),
        host: text("host"),
        body: base64::engine::general_purpose::STANDARD.decode(text("body"))?,
        case: case.filter_map(|value| value.as_str().map(str::to_owned)).collect(),
    })
}
