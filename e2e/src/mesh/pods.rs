//! The pods of the examples, each in a network of its own, as the injector has changed them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testbed::kubelet::{Pod, Running};
use testbed::network::{Door, Host};
use testbed::{Guard, Network, binary};

use crate::installation::checkout;

/// A pod that runs.
#[derive(Debug)]
pub struct Placed {
    /// What its manifest says.
    pub pod: Pod,
    /// Its network.
    pub host: Host,
    /// Its containers.
    pub running: Running,
}

impl Placed {
    /// An address of this machine that leads to a port of 127.0.0.1 in the pod.
    pub fn door(&self, guard: &Guard, port: u16) -> Result<Door> {
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.host.door(guard, &binary("testbed")?, inside)
    }
}

/// Starts the pods of manifests below the checkout as they are, or injected. All of them find the
/// address of `registry`, if there is one, under the name that the injector gives it.
pub fn start_pods(
    guard: &Guard,
    network: &Network<'_>,
    manifests: &str,
    registry: Option<&Placed>,
) -> Result<Vec<Placed>> {
    let path = checkout(manifests);
    let text = match registry {
        None => fs::read_to_string(&path).with_context(|| format!("no {manifests}"))?,
        Some(_) => injected(manifests)?,
    };
    let start = |pod: Pod| {
        let host = network.host(&pod.name)?;
        if let Some(registry) = registry {
            host.knows("service-center.servicecomb", registry.host.address())?;
        }
        pod.write_volumes(host.etc())?;
        let containers = pod.containers(&host)?;
        let running = Running::start(guard, &pod, &containers, &host, binary)?;
        Ok(Placed { pod, host, running })
    };
    Pod::read(&text)?.into_iter().map(start).collect()
}

fn injected(manifests: &str) -> Result<String> {
    let mut inject = Command::new(binary("sidecar-injector")?);
    let output = inject.arg("inject").arg("-f").arg(checkout(manifests)).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
