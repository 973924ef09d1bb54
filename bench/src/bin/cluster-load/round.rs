//! One cluster, from its start to what it has counted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::creation::{Created, Pods};
use bench::histogram::Histogram;
use bench::process::Cpu;
use bench::replicas::Replicas;
use bench::report::{megabytes, millis};
use bench::undisturbed::Undisturbed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use testbed::installation::{WEBHOOK, make_enabled_namespace};
use testbed::{Cluster, ClusterOptions, Server};
use tokio::runtime::Runtime;

use super::Arguments;

/// Pods that are created first, so that the API server has its connections.
const WARM_UP: usize = 200;
/// What a loaded machine may take until kwok has told the API server of all pods.
const PATIENCE: Duration = Duration::from_mins(10);

/// What listing all pods takes, many times over.
const ROUND_OF_HEALING: Duration = Duration::from_secs(10);

/// What one round measured.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    /// Pods a second.
    pub(super) rate: f64,
    /// The same of pods that do not ask.
    pub(super) rate_unasked: f64,
    /// p50 and p99 of creating one, as its client sees it.
    pub(super) creation_ms: [f64; 2],
    /// Pods that asked and have no sidecar.
    pub(super) missed: f64,
    /// Share of the API server's calls to the webhook.
    pub(super) within_5_ms: f64,
    pub(super) within_25_ms: f64,
    /// Share of the injector's reviews.
    pub(super) within_1_ms: f64,
    /// Bounds of the buckets that p50 and p99 are in.
    pub(super) review_ms: [f64; 2],
    /// Connections made while it ran.
    pub(super) connections: f64,
    /// Milliseconds for 1,000 pods, of all replicas: user, system.
    pub(super) injector_cpu: [f64; 2],
    /// The same of everybody else, both together.
    pub(super) others_cpu: Vec<(&'static str, f64)>,
    /// Megabytes of the largest replica.
    pub(super) memory_before: f64,
    pub(super) memory_peak: f64,
}

pub(super) fn measure(arguments: &Arguments) -> Result<Round> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kwok = cluster.start_nodes(arguments.nodes)?;
    let Arguments { injector, replicas, heal, .. } = arguments;
    let replicas = Replicas::start(&cluster, injector, *replicas, *heal)?;
    let memory_before = largest(&replicas, |memory| memory.resident)?;
    let round = Running {
        runtime: bench::load::runtime()?,
        cluster: &cluster,
        kwok: &kwok,
        replicas: &replicas,
        arguments,
    };
    let (unasked, asked) = (round.pods("unasked", false), round.pods("asked", true));

    round.create(&Pods { count: WARM_UP, ..round.pods("warm-up", true) })?;
    let rate_unasked = rate(&unasked, &round.create(&unasked)?);
    eprintln!("{} pods that do not ask: {rate_unasked:.0} a second", unasked.count);

    let (calls, reviews) = (round.calls()?, replicas.durations()?);
    let (connections, cpu, others) = (round.connections()?, replicas.cpu()?, round.others()?);
    let created = {
        let _undisturbed = arguments.undisturbed.then(|| round.undisturbed()).transpose()?;
        round.create_only(&asked)?
    };
    let cpu = replicas.cpu()?.since(cpu);
    let calls = round.calls()?.since(&calls);
    let reviews = replicas.durations()?.since(&reviews);
    let connections = round.connections()? - connections;
    let others_cpu = others.into_iter().zip(round.others()?).map(|((name, before), (_, after))| {
        (name, for_a_thousand(&asked, after.since(before).total()))
    });
    let others_cpu = others_cpu.collect();
    let rate = rate(&asked, &created);
    eprintln!("{} pods that ask: {rate:.0} a second", asked.count);

    let kept = asked.kept(&cluster)?;
    ensure!(kept.all == asked.count, "the API server keeps {} pods", kept.all);
    ensure!(
        calls.count() >= asked.count as u64,
        "the API server counts {} calls only: is its metric another?",
        calls.count()
    );
    round.wait_until_all_run(&asked)?;
    if *heal {
        round.have_all_looked_at()?;
    }
    Ok(Round {
        rate,
        rate_unasked,
        creation_ms: [0.5, 0.99].map(|share| millis(created.latencies.quantile(share))),
        missed: count(kept.all - kept.injected),
        within_5_ms: calls.share_within(0.005),
        within_25_ms: calls.share_within(0.025),
        within_1_ms: reviews.share_within(0.001),
        review_ms: [0.5, 0.99].map(|share| 1e3 * reviews.bound_of(share)),
        connections: count(usize::try_from(connections)?),
        injector_cpu: [cpu.user, cpu.system].map(|time| for_a_thousand(&asked, time)),
        others_cpu,
        memory_before,
        memory_peak: largest(&replicas, |memory| memory.peak)?,
    })
}

/// Everything that runs.
struct Running<'a> {
    runtime: Runtime,
    cluster: &'a Cluster,
    kwok: &'a Server,
    replicas: &'a Replicas,
    arguments: &'a Arguments,
}

impl Running<'_> {
    fn pods<'p>(&self, namespace: &'p str, ask: bool) -> Pods<'p> {
        let Arguments { pods, at_once, nodes, .. } = *self.arguments;
        Pods { namespace, count: pods, at_once, nodes, ask }
    }

    /// Creates them in a new namespace that the injector sees, and waits until they run, so that
    /// nothing else is going on afterwards.
    fn create(&self, pods: &Pods<'_>) -> Result<Created> {
        let created = self.create_only(pods)?;
        self.wait_until_all_run(pods)?;
        Ok(created)
    }

    fn create_only(&self, pods: &Pods<'_>) -> Result<Created> {
        make_enabled_namespace(self.cluster, pods.namespace)?;
        self.runtime.block_on(async {
            let kubeconfig = self.cluster.kubeconfig();
            let client = injector::kubernetes::connect(Some(kubeconfig)).await?;
            pods.create(&client).await
        })
    }

    fn wait_until_all_run(&self, pods: &Pods<'_>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !pods.all_run(self.cluster)? {
            ensure!(self.kwok.is_running(), "kwok has ended: {}", self.kwok.log());
            ensure!(Instant::now() < end, "not all pods of {} run", pods.namespace);
            sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Has everybody wait for the injector who shares its processors, and the kubelets stand still: in
    /// a cluster, they are elsewhere.
    fn undisturbed(&self) -> Result<(Undisturbed, Resting)> {
        Ok((Undisturbed::with(self.replicas.processes())?, Resting::of(self.kwok)?))
    }

    /// Has the leader list all pods, not only follow what becomes of them: a namespace's labels change.
    fn have_all_looked_at(&self) -> Result<()> {
        make_enabled_namespace(self.cluster, "looked-at")?;
        sleep(ROUND_OF_HEALING);
        Ok(())
    }

    /// The API server's own histogram of its calls to the webhook.
    fn calls(&self) -> Result<Histogram> {
        let text = self.cluster.run(&["get", "--raw=/metrics"])?;
        let name = "apiserver_admission_webhook_admission_duration_seconds";
        Ok(Histogram::read(&text, name, &[("name", WEBHOOK), ("operation", "CREATE")]))
    }

    fn connections(&self) -> Result<u64> {
        self.replicas.counted("sidecar_injector_connections_accepted_total")
    }

    /// What everybody but the injector took of the processors so far.
    fn others(&self) -> Result<Vec<(&'static str, Cpu)>> {
        let mut all = self.cluster.processes();
        all.push(("kwok", self.kwok.pid()));
        all.push(("the client, and what carries to the Service", std::process::id()));
        all.into_iter().map(|(name, pid)| Ok((name, Cpu::of(pid)?))).collect()
    }
}

/// A process that stands still as long as this value lives.
struct Resting(Pid);

impl Resting {
    fn of(server: &Server) -> Result<Self> {
        let pid = Pid::from_raw(i32::try_from(server.pid())?);
        kill(pid, Signal::SIGSTOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        // Whoever is gone rests anyway.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

fn rate(pods: &Pods<'_>, created: &Created) -> f64 {
    count(pods.count) / created.elapsed.as_secs_f64()
}

fn for_a_thousand(pods: &Pods<'_>, time: Duration) -> f64 {
    millis(time) * 1000.0 / count(pods.count)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

fn largest(replicas: &Replicas, of: impl Fn(&bench::process::Memory) -> u64) -> Result<f64> {
    let largest = replicas.memory()?.iter().map(of).max();
    Ok(megabytes(largest.context("no replica runs")?))
}
