//! `cargo run -p testbed`: a control plane to try things on by hand. It ends with
//! its standard input (Ctrl-D) or however else this process ends.

use std::io::{self, Read};

use anyhow::Result;
use testbed::{Cluster, ClusterOptions};

fn main() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("# kubectl is {}", testbed::tools::program("kubectl")?.display());
    println!("# Ctrl-D ends it");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
