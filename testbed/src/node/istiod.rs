//! istiod on a node: a pod like any other.

use std::path::Path;

use anyhow::{Context, Result};

use super::Node;
use crate::istiod::teach_kinds;

/// How the pod calls its image, whose archive [`Node::start_istiod`] is given.
pub const ISTIOD_IMAGE: &str = "istiod:1.31";
/// Its objects.
const OBJECTS: &str = include_str!("istiod.yaml");

impl Node {
    /// Runs istiod in the namespace `istio-system`, as Istio installs it: pods reach it at
    /// `istiod.istio-system.svc`, on port 15010 as they are and on 15012 by TLS. `archive` holds
    /// [`ISTIOD_IMAGE`]. It returns when istiod is ready.
    pub fn start_istiod(&self, archive: &Path) -> Result<()> {
        self.import(archive)?;
        let cluster = self.cluster();
        teach_kinds(cluster)?;
        cluster.apply(OBJECTS)?;
        let rollout = ["rollout", "status", "deployment/istiod", "--namespace=istio-system"];
        cluster.run(&[&rollout[..], &["--timeout=240s"]].concat()).context("istiod on the node")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_of_the_image_that_is_brought() {
        assert!(OBJECTS.contains(&format!("image: {ISTIOD_IMAGE}\n")));
    }
}
