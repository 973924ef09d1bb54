//! `cargo xtask demo`: what this is for, shown as it happens.

mod backend;
mod chain;
mod cluster;
mod injection;
mod mesh;
mod screen;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cargo;
use backend::Backend;
use screen::Screen;

const ACTS: &str = "\
Acts:
  1  Pods that ask for a sidecar get one: on a real Kubernetes API server, which is started on this
     machine. What it needs is built the first time, which takes some ten minutes.
  2  Services that call each other through their sidecars: a registry, five services and their
     sidecars, each pod in a network namespace of its own, started with what the injector has put
     into the manifests of examples/chain. It needs ip (apt-get install iproute2), and a machine
     where users may make namespaces, or root; elsewhere the pods share the loopback interface, and
     what had to be replaced for that is printed.

With --cluster it is one act: kubelet and containerd run all of it, from images of this checkout, on a
node like that of `cargo xtask cluster`. That takes root.

With --backend pilot, services learn of each other from Istio instead of a registry: from a real istiod,
which takes some five minutes more to build the first time. In the first act, the pods that ask do so for
Istio. In the second, istiod runs beside the pods, over an API server in which their addresses stand. With
--cluster it is a pod of the node; Kubernetes itself tells it of the others, and rules for three versions of
a service are shown in place of the Job.

Each act checks what it shows: the exit status is 0 only if all was as promised. Nothing stays
behind, however it ends, but with --keep.";

const PROGRAMS: [(&str, &str); 5] = [
    ("injector", "sidecar-injector"),
    ("mockserver", "mockserver"),
    ("registry", "service-registry"),
    ("sidecar", "mesher"),
    ("testbed", "testbed"),
];

/// Options of `cargo xtask demo`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
#[command(after_help = ACTS)]
pub(crate) struct Demo {
    /// Show one act only
    #[arg(long, value_name = "ACT")]
    act: Option<Act>,
    /// Show it on a Kubernetes with a node, in namespaces of this machine; needs root
    #[arg(long, conflicts_with_all = ["act", "loopback"])]
    cluster: bool,
    /// Where services learn of each other
    #[arg(long, value_enum, value_name = "BACKEND", default_value = "sc")]
    backend: Backend,
    /// Leave everything running and say how to use and stop it
    #[arg(long)]
    keep: bool,
    /// Print without pauses; so it does anyway where nobody watches a terminal
    #[arg(long)]
    fast: bool,
    /// Have the pods of the second act share the loopback interface, as where there are no namespaces
    #[arg(long)]
    loopback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Act {
    /// Pods that ask for a sidecar get one
    #[value(name = "1")]
    Injection,
    /// Services call each other through their sidecars
    #[value(name = "2")]
    Mesh,
}

/// What an act has left running.
#[derive(Debug)]
struct Left {
    what: &'static str,
    /// The process to kill.
    supervisor: u32,
}

impl Demo {
    /// Runs the demonstration; it fails when something is not as it was promised.
    pub(crate) fn run(&self) -> Result<()> {
        let screen = Screen::new(self.fast);
        let mut left = Vec::new();
        let played = self.play(&screen, &mut left);
        // Also where the second act has failed: the first may run on.
        for Left { what, supervisor } in &left {
            screen.say(&format!("This stops {what} and removes what was written for it:"));
            screen.lines(&[&format!("kill {supervisor}")]);
        }
        played?;
        if left.is_empty() {
            screen.say("Everything is stopped again. To look around: cargo xtask demo --keep");
        }
        Ok(())
    }

    fn play(&self, screen: &Screen, left: &mut Vec<Left>) -> Result<()> {
        if self.cluster {
            testbed::node::is_allowed().map_err(anyhow::Error::msg)?;
        }
        let plays = |act| self.act.is_none_or(|chosen| chosen == act);
        // All at once for either act: another selection would be another build of what they share.
        let programs = cargo::programs(&PROGRAMS)?;
        if self.cluster {
            left.extend(cluster::play(screen, &programs, self.backend, self.keep)?);
            return Ok(());
        }
        if plays(Act::Injection) {
            left.extend(injection::play(screen, &programs, self.backend, self.keep)?);
        }
        if plays(Act::Mesh) {
            left.extend(mesh::play(screen, programs, self.backend, self.keep, self.loopback)?);
        }
        Ok(())
    }
}
