//! The pods of the second act, and what can be asked of them.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::kubelet::{Container, Place, Pod, Running};
use testbed::{Guard, Network};

use crate::cargo::Programs;

use super::place::{Loopback, Replaced, SIDECAR, Spot};

/// What a slow machine may take for anything that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How often that is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// What the manifests call the registry.
const REGISTRY: &str = "service-center.servicecomb";
const REGISTRY_PORT: u16 = 30100;

/// A registry and services that find each other there.
#[derive(Debug)]
pub(super) struct Town<'g> {
    guard: &'g Guard,
    programs: Programs,
    network: Option<Network<'g>>,
    registry: Member,
    members: Vec<Member>,
}

/// A pod that has its place.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pod: Pod,
    pub(super) spot: Spot,
    pub(super) replaced: Vec<Replaced>,
    pub(super) running: Option<Running>,
    pub(super) containers: Vec<Container>,
}

impl<'g> Town<'g> {
    /// Gives the pods of these manifests their places. The first pod is the registry.
    pub(super) fn plan(
        guard: &'g Guard,
        programs: Programs,
        network: Option<Network<'g>>,
        manifests: &str,
    ) -> Result<Self> {
        let pods = Pod::read(manifests)?;
        let mut members = Vec::new();
        let mut registry = None;
        for (number, pod) in (1..).zip(pods) {
            let spot = match &network {
                Some(network) => Spot::Own(network.host(&pod.name)?),
                None => Spot::Shared(Loopback::new(number)?),
            };
            let registry: IpAddr = *registry.get_or_insert_with(|| spot.address());
            if let Some(host) = spot.own() {
                host.knows(REGISTRY, registry)?;
                pod.write_volumes(host.etc())?;
            }
            let mut containers = pod.containers(&spot)?;
            let replaced = spot.adapt(&mut containers, registry);
            members.push(Member { pod, spot, replaced, running: None, containers });
        }
        ensure!(!members.is_empty(), "the manifests hold no pod");
        let registry = members.remove(0);
        Ok(Self { guard, programs, network, registry, members })
    }

    /// Starts everything: the registry, and then all others at once, as kubelets would.
    pub(super) fn start(&mut self) -> Result<()> {
        let (guard, programs) = (self.guard, &self.programs);
        self.registry.start(guard, programs)?;
        let members = &mut self.members;
        thread::scope(|scope| {
            let starting = members.iter_mut().map(|m| scope.spawn(|| m.start(guard, programs)));
            let starting: Vec<_> = starting.collect();
            let started = starting.into_iter().map(|one| {
                one.join().map_err(|_| anyhow::anyhow!("the start of a pod panicked"))?
            });
            started.collect()
        })
    }

    /// Waits until the registry says that every instance is UP.
    pub(super) fn wait_until_up(&self) -> Result<()> {
        let mut services: Vec<_> = self.members.iter().map(|member| &member.pod.owner).collect();
        services.dedup();
        for service in services {
            let replicas = self.of(service).count();
            wait_for(&format!("{replicas} instances of {service} UP"), || {
                Ok(self.up(service)? == replicas)
            })?;
        }
        Ok(())
    }

    /// How many instances of a service the registry calls UP.
    pub(super) fn up(&self, service: &str) -> Result<usize> {
        let at = SocketAddr::new(self.registry.spot.address(), REGISTRY_PORT);
        let query = format!("appId=default&serviceName={service}&version=0%2B");
        let url = format!("http://{at}/v4/default/registry/instances?{query}");
        let answer = self.get(&self.registry, &["--no-proxy", &url])?;
        let answer: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let instances = answer["instances"].as_array().into_iter().flatten();
        Ok(instances.filter(|instance| instance["status"] == "UP").count())
    }

    /// The pods of a service.
    pub(super) fn of(&self, service: &str) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.pod.owner == service)
    }

    /// A pod.
    pub(super) fn member(&self, pod: &str) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.pod.name == pod);
        found.with_context(|| format!("there is no pod {pod}"))
    }

    /// All pods, the registry first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.registry).chain(&self.members)
    }

    /// `mockserver get` in a pod, as its application would do it.
    pub(super) fn get(&self, member: &Member, arguments: &[&str]) -> Result<Output> {
        self.command(member, arguments)?.output().context("mockserver get does not run")
    }

    pub(super) fn command(&self, member: &Member, arguments: &[&str]) -> Result<Command> {
        let program = self.program("mockserver")?;
        let mut command = member.spot.command(program);
        let application = member.containers.last().context("a pod without containers")?;
        command.env_clear();
        command.envs(application.environment.iter().map(|(name, value)| (name, value)));
        command.arg("get").args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// The sum of a counter over all that the sidecar of this pod counts under these labels.
    pub(super) fn counted(&self, member: &Member, counter: &str, labels: &str) -> Result<u64> {
        let url = format!("http://{}/metrics", member.spot.admin());
        let metrics = self.get(member, &["--no-proxy", &url])?;
        Ok(sum(&String::from_utf8_lossy(&metrics.stdout), counter, labels))
    }

    /// Kills all processes of a pod at once, and says which they were.
    pub(super) fn kill(&mut self, pod: &str) -> Result<Vec<u32>> {
        let running = self.member_mut(pod)?.running.take().context("it does not run")?;
        let pids = running.servers().map(testbed::Server::pid).collect();
        drop(running);
        Ok(pids)
    }

    /// Starts the containers of a pod again, where they were.
    pub(super) fn restart(&mut self, pod: &str) -> Result<()> {
        let (guard, programs) = (self.guard, self.programs.clone());
        self.member_mut(pod)?.start(guard, &programs)
    }

    fn member_mut(&mut self, pod: &str) -> Result<&mut Member> {
        let found = self.members.iter_mut().find(|member| member.pod.name == pod);
        found.with_context(|| format!("there is no pod {pod}"))
    }

    pub(super) fn program(&self, name: &str) -> Result<&Path> {
        Ok(self.programs.get(name).with_context(|| format!("no program {name}"))?)
    }

    /// Lets everything run on, until the guard's supervisor is told to end it.
    pub(super) fn leave(self) -> Result<()> {
        self.guard.keep()?;
        for member in self.members.into_iter().chain([self.registry]) {
            if let Some(running) = member.running {
                running.leave();
            }
            if let Spot::Own(host) = member.spot {
                host.leave();
            }
        }
        if let Some(network) = self.network {
            network.leave();
        }
        Ok(())
    }
}

impl Member {
    fn start(&mut self, guard: &Guard, programs: &Programs) -> Result<()> {
        let program = |name: &str| {
            let found = programs.get(name);
            found.cloned().with_context(|| format!("the program of image {name} is none of ours"))
        };
        self.running =
            Some(Running::start(guard, &self.pod, &self.containers, &self.spot, program)?);
        Ok(())
    }

    /// The sidecar, if it has one.
    pub(super) fn sidecar(&self) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == SIDECAR)
    }
}

/// Waits until `look` says so.
pub(super) fn wait_for(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !look()? {
        ensure!(Instant::now() < end, "not {what} after {PATIENCE:?}");
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The sum of the samples of `counter` that have these labels among theirs.
fn sum(metrics: &str, counter: &str, labels: &str) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(counter)?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        found.contains(labels).then(|| value.trim().parse::<u64>().ok())?
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn samples_are_added_by_name_and_label() {
        let text = "# TYPE requests counter\nrequests_total{service_name=\"a\",app=\"d\"} 3\n\
            requests_total{service_name=\"a\",app=\"e\"} 4\nrequests_total{service_name=\"ab\"} 5\n\
            requests_total_other{service_name=\"a\"} 9\nevictions_total 2\n";
        assert_eq!(sum(text, "requests_total", "service_name=\"a\""), 7);
        assert_eq!(sum(text, "requests_total", ""), 12);
        assert_eq!(sum(text, "evictions_total", ""), 2);
        assert_eq!(sum(text, "nothing", ""), 0);
    }
}
