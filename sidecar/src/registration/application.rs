//! Whether the application is there, and well.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mesh::Status;
use regex::Regex;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::settings::{HealthCheck, Settings};

/// How long a port or a check may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How often a port that does not answer yet is tried.
const TRY: Duration = Duration::from_millis(250);
/// The most of a body that a check looks at.
const LOOKED_AT: usize = 64 << 10;

/// What is looked at.
#[derive(Debug)]
pub(super) struct Application {
    /// Where it may be: on loopback, else on an address of the pod, as requests are handed on.
    hosts: Vec<IpAddr>,
    /// All of them have to accept connections, ...
    all: Vec<u16>,
    /// ... and one of these, where nobody named the ports that matter.
    any: Vec<u16>,
    checks: Vec<HealthCheck>,
}

impl Application {
    pub(super) fn of(settings: &Settings) -> Self {
        let all: Vec<_> = settings.local.service.iter().map(|port| port.port).collect();
        let any = if all.is_empty() { settings.local.app.clone() } else { Vec::new() };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let others = settings.listeners.addresses.iter().copied();
        let hosts = std::iter::once(loopback).chain(others).collect();
        Self { hosts, all, any, checks: settings.health_checks.clone() }
    }

    /// Tells `say` that the instance is UP once the application is there, and then how its checks
    /// go. Never ends.
    pub(super) async fn follow(self, say: impl Fn(Status)) {
        if self.all.is_empty() && self.any.is_empty() {
            tracing::warn!(
                reason = "no_ports",
                "neither SERVICE_PORTS nor APP_PORTS says where the application listens: it is \
                 taken to be UP at once"
            );
        } else {
            while !self.is_there().await {
                sleep(TRY).await;
            }
            tracing::info!("the application accepts connections");
        }
        say(Status::Up);
        let well: Vec<_> = self.checks.iter().map(|_| AtomicBool::new(true)).collect();
        let checks = self.checks.iter().enumerate().map(|(index, check)| {
            let (this, say, well) = (&self, &say, &well);
            async move {
                // One that fails to compile was refused with the configuration.
                let body = check.body.as_deref().and_then(|text| Regex::new(text).ok());
                let mut ticks = interval(check.interval.max(TRY));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                ticks.tick().await;
                loop {
                    ticks.tick().await;
                    let result = timeout(ANSWER, this.passes(check, body.as_ref())).await;
                    let result = result.unwrap_or_else(|_| Err(format!("silent for {ANSWER:?}")));
                    let was_well = well[index].swap(result.is_ok(), Ordering::Relaxed);
                    match (was_well, &result) {
                        (true, Err(reason)) => {
                            tracing::warn!(port = check.port, reason, "a health check fails");
                        }
                        (false, Ok(())) => tracing::info!(port = check.port, "healthy again"),
                        _ => {}
                    }
                    let all = well.iter().all(|well| well.load(Ordering::Relaxed));
                    say(if all { Status::Up } else { Status::Down });
                }
            }
        });
        futures::future::join_all(checks).await;
        std::future::pending::<()>().await;
    }

    async fn is_there(&self) -> bool {
        for port in &self.all {
            if !self.accepts(*port).await {
                return false;
            }
        }
        let mut there = self.any.is_empty();
        for port in &self.any {
            there |= self.accepts(*port).await;
        }
        there
    }

    async fn accepts(&self, port: u16) -> bool {
        matches!(timeout(ANSWER, self.connect(port)).await, Ok(Ok(_)))
    }

    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let addresses = self.hosts.iter().map(|host| SocketAddr::new(*host, port));
        TcpStream::connect(&addresses.collect::<Vec<_>>()[..]).await
    }

    /// One look, as the original took it: any answer is well unless something is asked of it.
    async fn passes(&self, check: &HealthCheck, body: Option<&Regex>) -> Result<(), String> {
        let stream = self.connect(check.port).await.map_err(|error| error.to_string())?;
        let Some(path) = &check.path else { return Ok(()) };
        let host = stream.peer_addr().map_err(|error| error.to_string())?.to_string();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let request = Request::get(path.as_str())
            .header("host", host)
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            if check.status.is_some_and(|wanted| wanted != status) {
                return Err(format!("it answered {status}"));
            }
            let Some(pattern) = body else { return Ok(()) };
            let read = Limited::new(response.into_body(), LOOKED_AT).collect().await;
            let read = read.map_err(|error| error.to_string())?.to_bytes();
            if pattern.is_match(&String::from_utf8_lossy(&read)) {
                return Ok(());
            }
            Err("its body does not match".to_owned())
        };
        // It ends with the exchange, whatever the application thinks of keeping it.
        let driver = tokio::spawn(connection);
        let result = exchange.await;
        driver.abort();
        result
    }
}
