//! One proxy, from its start to its end.

use std::cell::Cell;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::latencies::Latencies;
use bench::report::{megabytes, millis};
use serde::Serialize;
use testbed::{Guard, Istiod};

use super::load::{Client, Load, Sample};
use super::proxies::{Program, Proxy};
use super::services::{self, ECHO};

/// For a proxy to be told of everything.
const PATIENCE: Duration = Duration::from_mins(2);
/// After that, what is resident is what is held.
const SETTLED: Duration = Duration::from_secs(3);
/// Before the first push, and after each.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether a push has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// What still belongs to a push once its last kind of resources is in force.
const AFTERWARDS: Duration = Duration::from_millis(250);

/// What came of one proxy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Found {
    pub(crate) proxy: &'static str,
    /// From the start of the process to its first answer, in s.
    pub(crate) ready: f64,
    /// Processor time until then, in s.
    pub(crate) ready_cpu: f64,
    /// In MiB, after that.
    pub(crate) resident: f64,
    pub(crate) called: Pushes,
    /// The same once every service was called; a proxy that is told of all at once has only the
    /// other.
    pub(crate) all: Option<Pushes>,
    /// The most it ever held, in MiB.
    pub(crate) peak: f64,
}

/// Full pushes under a load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pushes {
    /// In MiB, before the first and after the last of them.
    pub(crate) resident: [f64; 2],
    /// p50, p99 and the longest, in ms.
    pub(crate) before: [f64; 3],
    pub(crate) during: [f64; 3],
    pub(crate) after: [f64; 3],
    /// From the change to its being in force, in s, on average.
    pub(crate) took: f64,
    /// Processor time of the proxy for one of them, the load's included, in s.
    pub(crate) cpu: f64,
}

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) guard: &'a Guard,
    pub(crate) istiod: &'a Istiod,
    /// The service that answers.
    pub(crate) echo: SocketAddr,
    pub(crate) services: usize,
    pub(crate) pushes: u32,
    /// Whether what is not in the mesh may be called: what a push changes.
    pub(crate) open: Cell<bool>,
}

impl Place<'_> {
    /// Waits until istiod has heard of every service.
    pub(crate) fn warm_up(&self, program: &Program) -> Result<()> {
        let proxy = program.start(self.guard, self.istiod.address())?;
        proxy.until_ready(ECHO, PATIENCE)?;
        thread::sleep(SETTLED);
        Ok(())
    }

    pub(crate) fn measure(&self, program: &Program) -> Result<Found> {
        let proxy = program.start(self.guard, self.istiod.address())?;
        let ready = proxy.until_ready(ECHO, PATIENCE)?;
        let ready_cpu = proxy.cpu()?.total();
        thread::sleep(SETTLED);
        let resident = resident(&proxy)?;
        let called = self.push(&proxy)?;
        let all = match program {
            Program::Envoy => None,
            Program::Mesher(_) => {
                self.call_all(&proxy)?;
                thread::sleep(SETTLED);
                Some(self.push(&proxy)?)
            }
        };
        Ok(Found {
            proxy: match program {
                Program::Envoy => "Envoy",
                Program::Mesher(_) => "mesher",
            },
            ready: ready.as_secs_f64(),
            ready_cpu: ready_cpu.as_secs_f64(),
            resident,
            called,
            all,
            peak: mebibytes(proxy.memory()?.peak),
        })
    }

    /// Has every service called once.
    fn call_all(&self, proxy: &Proxy) -> Result<()> {
        let mut client = Client::connect(proxy.address)?;
        for number in 0..self.services {
            let host = services::host(number);
            let status = client.get(&host)?;
            ensure!(status == 502, "{host}, where nobody listens, answered {status}");
        }
        Ok(())
    }

    /// Has istiod push everything anew, some times over, under a load.
    fn push(&self, proxy: &Proxy) -> Result<Pushes> {
        let first = resident(proxy)?;
        let load = Load::start(proxy.address)?;
        let began = Instant::now();
        thread::sleep(QUIET);
        let mut spans = Vec::new();
        let cpu = proxy.cpu()?;
        for _ in 0..self.pushes {
            let from = Instant::now();
            let open = !self.open.get();
            self.open.set(open);
            self.istiod.allow_any(open)?;
            self.until_in_force(proxy, open)?;
            let took = from.elapsed();
            thread::sleep(AFTERWARDS);
            spans.push((from, Instant::now(), took));
            thread::sleep(QUIET);
        }
        let cpu = proxy.cpu()?.since(cpu).total() / self.pushes;
        let samples = load.finish()?;
        let starts = spans.first().map_or(began, |(from, ..)| *from);
        let within = |due: &Instant| spans.iter().any(|(from, to, _)| from <= due && due < to);
        let of = |which: &dyn Fn(&Instant) -> bool| quantiles(&samples, which);
        let took: Duration = spans.iter().map(|(.., took)| *took).sum();
        Ok(Pushes {
            resident: [first, resident(proxy)?],
            before: of(&|due| *due < starts),
            during: of(&within),
            after: of(&|due| *due >= starts && !within(due)),
            took: (took / self.pushes).as_secs_f64(),
            cpu: cpu.as_secs_f64(),
        })
    }

    /// What may be called that is not in the mesh is part of the routes, which come last: an address
    /// is no service.
    fn until_in_force(&self, proxy: &Proxy, open: bool) -> Result<()> {
        let began = Instant::now();
        let mut client = Client::connect(proxy.address)?;
        loop {
            // mesher refuses it with 403, Envoy as istiod says with 502. Where it may be called,
            // mesher does; Envoy has nowhere to send it, and says so by another status.
            let status = client.get(&self.echo.to_string())?;
            if matches!(status, 403 | 502) != open {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the change is not in force");
            thread::sleep(LOOK);
        }
    }
}

fn quantiles(samples: &[Sample], which: &dyn Fn(&Instant) -> bool) -> [f64; 3] {
    let these = samples.iter().filter(|(due, _)| which(due)).map(|(_, took)| *took);
    let these = Latencies::of(these.collect());
    [0.5, 0.99, 1.0].map(|share| millis(these.quantile(share)))
}

fn resident(proxy: &Proxy) -> Result<f64> {
    Ok(mebibytes(proxy.memory()?.resident))
}

/// As the goals are given: of 1,048,576 bytes.
fn mebibytes(bytes: u64) -> f64 {
    megabytes(bytes) * 1e6 / f64::from(1 << 20)
}
