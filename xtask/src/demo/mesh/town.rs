//! The pods of the second act, and what can be asked of them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::kubelet::{Container, Place, Pod, Running};
use testbed::{Guard, Network};

use crate::cargo::Programs;

use super::istio::{FOR_TLS, Istio};
use super::place::{Asked, Loopback, Replaced, SIDECAR, Spot};
use crate::demo::Left;
use crate::demo::backend::Backend;

/// What a slow machine may take for anything that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How often that is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// What the manifests call the registry.
const REGISTRY: &str = "service-center.servicecomb:30100";
const REGISTRY_PORT: u16 = 30100;
/// What both sides of a sidecar count, by the answers' status.
const RESPONSES: &str = "mesher_responses_total";
/// Calls of each service for each of its instances, by which a sidecar gets to know all of them.
const ACQUAINTANCE: usize = 4;

/// Services, and where they find each other.
#[derive(Debug)]
pub(super) struct Town<'g> {
    guard: &'g Guard,
    programs: Programs,
    network: Option<Network<'g>>,
    source: Source,
    members: Vec<Member>,
}

/// Where services find each other.
#[derive(Debug)]
enum Source {
    /// A registry, in a pod of its own.
    Registry(Box<Member>),
    /// Istio's control plane, which is in none.
    Istio(Box<Istio>),
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
    /// Gives the pods of these manifests their places. Of a registry, they have the pod first; Istio is
    /// started.
    pub(super) fn plan(
        guard: &'g Guard,
        programs: Programs,
        network: Option<Network<'g>>,
        manifests: &str,
        backend: Backend,
    ) -> Result<Self> {
        let mut pods = Pod::read(manifests)?;
        ensure!(!pods.is_empty(), "the manifests hold no pod");
        let spot = |number: u8, pod: &Pod| -> Result<Spot> {
            Ok(match &network {
                Some(network) => Spot::Own(network.host(&pod.name)?),
                None => Spot::Shared(Loopback::new(number)?),
            })
        };
        let (source, asked) = match backend {
            Backend::ServiceCenter => {
                let pod = pods.remove(0);
                let spot = spot(1, &pod)?;
                let address = SocketAddr::new(spot.address(), REGISTRY_PORT);
                let asked = Asked { called: REGISTRY, address };
                (Source::Registry(Box::new(Member::plan(pod, spot, asked)?)), asked)
            }
            Backend::Pilot => {
                let testbed = programs.get("testbed").context("no testbed")?;
                let istio = Istio::start(guard, testbed, network.as_ref())?;
                for pod in &mut pods {
                    for volume in FOR_TLS {
                        pod.leave_out(volume);
                    }
                }
                let asked = istio.asked();
                (Source::Istio(Box::new(istio)), asked)
            }
        };
        let mut members = Vec::new();
        for (number, pod) in (2..).zip(pods) {
            let spot = spot(number, &pod)?;
            members.push(Member::plan(pod, spot, asked)?);
        }
        Ok(Self { guard, programs, network, source, members })
    }

    /// Starts everything: the registry, if there is one, and then all others at once, as kubelets would.
    pub(super) fn start(&mut self) -> Result<()> {
        let (guard, programs) = (self.guard, &self.programs);
        match &mut self.source {
            Source::Registry(registry) => registry.start(guard, programs)?,
            Source::Istio(istio) => istio.announce(&self.members)?,
        }
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

    /// Waits until every service can be called through its sidecars, and says how that is known.
    pub(super) fn wait_until_up(&self) -> Result<&'static str> {
        let mut services: Vec<_> = self.members.iter().map(|member| &*member.pod.owner).collect();
        services.dedup();
        match &self.source {
            Source::Registry(registry) => {
                for service in services {
                    let replicas = self.of(service).count();
                    wait_for(&format!("{replicas} instances of {service} UP"), || {
                        Ok(self.up(registry, service)? == replicas)
                    })?;
                }
                Ok("All are UP in the registry")
            }
            Source::Istio(_) => {
                wait_for("all sidecars known to each other", || self.are_acquainted(&services))?;
                Ok("All know each other by istiod, and their sidecars")
            }
        }
    }

    /// Has everybody call all others, and says whether all of that went through the sidecars of the
    /// callees: whoever knows of none there yet calls the application itself.
    fn are_acquainted(&self, services: &[&str]) -> Result<bool> {
        let mut all = true;
        for service in services {
            let before = self.answered_by(service)?;
            let calls = ACQUAINTANCE * self.of(service).count();
            let (number, url) = (calls.to_string(), format!("http://{service}:8080/"));
            let mut expected = before;
            for caller in self.members.iter().filter(|member| member.pod.owner != *service) {
                let output = self.get(caller, &["-q", "-n", &number, "-c", "4", &url])?;
                all &= output.status.success();
                expected += u64::try_from(calls)?;
            }
            all &= self.answered_by(service)? == expected;
        }
        Ok(all)
    }

    /// How many instances of a service are called UP where services find each other, and until when.
    pub(super) fn believed(&self, service: &str) -> Result<String> {
        Ok(match &self.source {
            Source::Registry(registry) => format!(
                "The registry still calls {} of them UP: to it, an instance is gone when its lease ends.",
                self.up(registry, service)?
            ),
            Source::Istio(_) => {
                "istiod still names both: to it, an endpoint is gone when Kubernetes \
                                 says so."
                    .to_owned()
            }
        })
    }

    /// How many instances of a service the registry calls UP.
    fn up(&self, registry: &Member, service: &str) -> Result<usize> {
        let at = SocketAddr::new(registry.spot.address(), REGISTRY_PORT);
        let query = format!("appId=default&serviceName={service}&version=0%2B");
        let url = format!("http://{at}/v4/default/registry/instances?{query}");
        let answer = self.get(registry, &["--no-proxy", &url])?;
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

    /// All pods, that of a registry first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Member> {
        let registry = match &self.source {
            Source::Registry(registry) => Some(&**registry),
            Source::Istio(_) => None,
        };
        registry.into_iter().chain(&self.members)
    }

    /// The pods that call each other.
    pub(super) fn services(&self) -> &[Member] {
        &self.members
    }

    /// [`Town::sent`] by all instances of a caller.
    pub(super) fn sent_by(&self, caller: &str, service: &str) -> Result<u64> {
        self.of(caller).map(|member| self.sent(member, service)).sum()
    }

    /// Calls of `service` that the sidecar of this pod has sent and that were answered well.
    pub(super) fn sent(&self, member: &Member, service: &str) -> Result<u64> {
        let name = match &self.source {
            Source::Registry(_) => service.to_owned(),
            Source::Istio(_) => format!("{service}.{}.svc.cluster.local", member.pod.namespace),
        };
        self.counted(member, RESPONSES, &[&named(&name), "side=\"consumer\"", "code=\"200\""])
    }

    /// Calls that the sidecar of this pod has handed on to its application, answered well.
    pub(super) fn handed_on(&self, member: &Member) -> Result<u64> {
        let name = named(&member.pod.owner);
        self.counted(member, RESPONSES, &[&name, "side=\"provider\"", "code=\"200\""])
    }

    /// The same by all instances of a service.
    pub(super) fn answered_by(&self, service: &str) -> Result<u64> {
        self.of(service).map(|member| self.handed_on(member)).sum()
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
    pub(super) fn counted(&self, member: &Member, counter: &str, labels: &[&str]) -> Result<u64> {
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

    /// Lets everything run on, until the supervisors of what is returned are told to end it.
    pub(super) fn leave(self) -> Result<Vec<Left>> {
        self.guard.keep()?;
        let mut left = vec![Left { what: "the mesh", supervisor: self.guard.supervisor_pid() }];
        let mut members = self.members;
        match self.source {
            Source::Registry(registry) => members.push(*registry),
            Source::Istio(istio) => left.push(istio.leave()?),
        }
        for member in members {
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
        Ok(left)
    }
}

impl Member {
    /// A pod at its place, where it finds whom its sidecar asks.
    fn plan(pod: Pod, spot: Spot, asked: Asked) -> Result<Self> {
        if let Some(host) = spot.own() {
            host.knows(asked.host(), asked.address.ip())?;
            pod.write_volumes(host.etc())?;
        }
        let mut containers = pod.containers(&spot)?;
        let replaced = spot.adapt(&mut containers, asked);
        Ok(Self { pod, spot, replaced, running: None, containers })
    }

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

/// The label of what concerns a service.
fn named(service: &str) -> String {
    format!("service_name=\"{service}\"")
}

/// The sum of the samples of `counter` that have these labels among theirs.
fn sum(metrics: &str, counter: &str, labels: &[&str]) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(counter)?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        labels
            .iter()
            .all(|label| found.contains(label))
            .then(|| value.trim().parse::<u64>().ok())?
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
        assert_eq!(sum(text, "requests_total", &["service_name=\"a\""]), 7);
        assert_eq!(sum(text, "requests_total", &["service_name=\"a\"", "app=\"e\""]), 4);
        assert_eq!(sum(text, "requests_total", &[]), 12);
        assert_eq!(sum(text, "evictions_total", &[]), 2);
        assert_eq!(sum(text, "nothing", &[]), 0);
    }
}
