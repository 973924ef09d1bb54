//! `cargo run -p testbed`: a control plane to try things on by hand. It ends with
//! its standard input (Ctrl-D) or however else this process ends.
//!
//! `cargo run -p testbed network`: two hosts in a network of their own, until the same happens.
//!
//! `testbed door ADDRESS` is what [`testbed::network::Host::door`] starts in a namespace; `exit-inside` and
//! `exit-outside` are the halves of [`testbed::network::Host::exit`].

use std::env;
use std::io::{self, Read};

use anyhow::{Context, Result, bail};
use testbed::{Cluster, ClusterOptions, Guard, Network, network};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => control_plane(),
        ["door", target] => network::carry(target.parse().context("no address")?),
        ["exit-inside", address, socket] => {
            network::carry_inside(address.parse().context("no address")?, socket.as_ref())
        }
        ["exit-outside", socket, target] => {
            network::carry_outside(socket.as_ref(), target.parse().context("no address")?)
        }
        ["network"] => hosts(),
        _ => bail!("start it without arguments for a control plane, or with `network`"),
    }
}

fn hosts() -> Result<()> {
    let guard = Guard::new()?;
    let network = Network::start(&guard)?.map_err(anyhow::Error::msg)?;
    for name in ["one", "two"] {
        let host = network.host(name)?;
        println!("{} bash   # {name}, {}", host.entrance(), host.address());
        host.leave();
    }
    println!("# Ctrl-D ends it");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn control_plane() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("# kubectl is {}", testbed::tools::program("kubectl")?.display());
    println!("# Ctrl-D ends it");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
