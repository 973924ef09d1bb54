//! Real servers for tests.
//!
//! - [`tools`] builds pinned servers and tools once per machine.
//! - [`Cluster`] starts etcd, kube-apiserver and kube-controller-manager on free
//!   ports with fresh data.
//! - [`Node`] adds a kubelet and containerd: a whole Kubernetes, in which pods run.
//! - [`Network`] gives processes networks of their own, and [`kubelet`] starts the pods of
//!   manifests there.
//! - [`Kie`] answers as ServiceComb kie does, or is a real one.
//! - [`Guard`] starts any other process so that it ends with its owner.
//! - [`write_kustomization`] and [`Cluster::account_kubeconfig`] install a program
//!   of this machine as if it ran in the cluster; [`installation`] does so with the injector.
//! - [`binary()`] says where the project's own programs are, [`image()`] where their images,
//!   [`skip()`] marks a test
//!   that this machine cannot run.
//!
//! # One control plane for the tests of a process
//!
//! A control plane takes about five seconds to start, a namespace a tenth of one.
//! So the scenarios of one test binary share [`Cluster::shared`] and each makes
//! its own [`Cluster::namespace`]; what is not in a namespace (a webhook
//! configuration, say) gets a name and a selector of its own. A scenario that
//! stops or restarts servers, or needs other flags, starts a [`Cluster`] itself.
//! Different test binaries share nothing.
//!
//! ```no_run
//! let cluster = testbed::Cluster::shared()?;
//! let namespace = cluster.namespace("opt-out")?;
//! cluster.apply(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace}}}}}"))?;
//! println!("{}", cluster.run(&["get", "configmaps", "--namespace", &namespace])?);
//! # anyhow::Ok(())
//! ```
//!
//! # Nothing stays behind
//!
//! Servers end when their value is dropped, and also when the process that
//! started them panics, is interrupted or gets SIGKILL: see [`Guard`].

mod binary;
mod carry;
mod cluster;
mod guard;
pub mod installation;
mod istiod;
mod kie;
pub mod kubelet;
mod kustomization;
pub mod network;
pub mod node;
mod ports;
pub mod progress;
mod server;
mod skip;
pub mod tools;

pub use binary::{IMAGES, binary, binary_variable, image};
pub use cluster::{Cluster, ClusterOptions, Route, node_name};
pub use guard::Guard;
pub use istiod::{Istiod, IstiodOptions};
pub use kie::{KIE_ADDR, Kie, Labels};
pub use kustomization::{combine_components, write_kustomization};
pub use network::Network;
pub use node::{Node, NodeOptions};
pub use ports::free_ports;
pub use server::Server;
pub use skip::{SKIPS, skip};
