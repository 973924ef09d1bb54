//! Pods, as fast as the API server takes them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Request;
use serde_json::{Value, json};
use testbed::{Cluster, node_name};

use crate::latencies::Latencies;
use crate::pods::{typical, unasked};

/// How many pods the API server lists at once.
const PAGE: usize = 500;
/// What an injected pod holds, as the API server writes it.
const SIDECAR: &str = "sidecar-mesher";

/// Pods to be created.
#[derive(Debug, Clone, Copy)]
pub struct Pods<'a> {
    /// Where; the namespace exists.
    pub namespace: &'a str,
    /// How many.
    pub count: usize,
    /// How many requests are under way at a time.
    pub at_once: usize,
    /// The nodes they are spread over.
    pub nodes: usize,
    /// Whether they ask for a sidecar.
    pub ask: bool,
}

/// What creating them took.
#[derive(Debug)]
pub struct Created {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each request.
    pub latencies: Latencies,
}

/// What the API server keeps of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// All.
    pub all: usize,
    /// Those with exactly one sidecar, the first of their init containers.
    pub injected: usize,
}

impl Pods<'_> {
    /// Creates all of them. Any that is refused ends it.
    pub async fn create(&self, client: &kube::Client) -> Result<Created> {
        let template = self.template();
        let next = AtomicUsize::new(0);
        let worker = || async {
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return anyhow::Ok(latencies);
                }
                let node = node_name(number % self.nodes);
                let pod = template.replace("NAME", &format!("web-{number}")).replace("NODE", &node);
                let request = Request::post(format!("/api/v1/namespaces/{}/pods", self.namespace))
                    .header("content-type", "application/json")
                    .body(pod.into_bytes())?;
                let sent = Instant::now();
                let answer = client.request_text(request).await.context("a pod is refused")?;
                latencies.push(sent.elapsed());
                ensure!(answer.contains(SIDECAR) == self.ask, "not as it should be: {answer}");
            }
        };
        let started = Instant::now();
        let workers = futures::future::try_join_all((0..self.at_once).map(|_| worker())).await?;
        let elapsed = started.elapsed();
        Ok(Created { elapsed, latencies: Latencies::of(workers.concat()) })
    }

    /// JSON with NAME and NODE to be replaced.
    fn template(&self) -> String {
        let mut pod = typical();
        if !self.ask {
            pod = unasked(&pod);
        }
        // No ReplicaSet made it: the garbage collector would take it away.
        pod["metadata"] = json!({
            "name": "NAME",
            "labels": pod["metadata"]["labels"],
            "annotations": pod["metadata"]["annotations"],
        });
        pod["spec"]["nodeName"] = json!("NODE");
        pod.to_string()
    }

    /// Whether all of them run, as far as kwok plays that.
    pub fn all_run(&self, cluster: &Cluster) -> Result<bool> {
        let namespace = self.namespace;
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods?limit=1&fieldSelector=status.phase!=Running"
        );
        let list: Value = serde_json::from_str(&cluster.run(&["get", "--raw", &path])?)?;
        Ok(list["items"].as_array().is_some_and(Vec::is_empty))
    }

    /// Counts what the API server keeps, page by page.
    pub fn kept(&self, cluster: &Cluster) -> Result<Kept> {
        let mut kept = Kept::default();
        let mut more = String::new();
        loop {
            let namespace = self.namespace;
            let path = format!("/api/v1/namespaces/{namespace}/pods?limit={PAGE}&continue={more}");
            let list: Value = serde_json::from_str(&cluster.run(&["get", "--raw", &path])?)?;
            for pod in list["items"].as_array().context("no list of pods")? {
                kept.all += 1;
                kept.injected += usize::from(is_injected(pod));
            }
            match list["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut more),
                _ => return Ok(kept),
            }
        }
    }
}

fn is_injected(pod: &Value) -> bool {
    let of = |kind: &str| pod["spec"][kind].as_array().map_or(&[][..], Vec::as_slice).iter();
    let sidecars = of("initContainers").chain(of("containers"));
    sidecars.filter(|container| container["name"] == SIDECAR).count() == 1
        && pod["spec"]["initContainers"][0]["name"] == SIDECAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_first_init_container() {
        let pods = Pods { namespace: "a", count: 1, at_once: 1, nodes: 1, ask: true };
        let mut pod: Value = serde_json::from_str(&pods.template()).expect("JSON");
        assert!(!is_injected(&pod));
        assert!(pods.template().contains("sidecar.mesher.io/inject"));
        assert!(!Pods { ask: false, ..pods }.template().contains("sidecar.mesher.io/inject"));
        pod["spec"]["initContainers"] = json!([{"name": SIDECAR}]);
        assert!(is_injected(&pod));
        pod["spec"]["initContainers"] = json!([{"name": "first"}, {"name": SIDECAR}]);
        assert!(!is_injected(&pod));
    }
}
