//! The chain of the examples, in pods with networks of their own: nothing is told the proxies but
//! what the injector has written into the manifests.

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Client, Placed, Registry, start_pods};
use serde_json::Value;
use testbed::{Guard, Network};

/// The registry's and the services' pods, with the node that they run on.
struct Node<'g> {
    guard: &'g Guard,
    registry: Registry,
    pods: Vec<Placed>,
    _network: Network<'g>,
    _registry: Vec<Placed>,
}

impl<'g> Node<'g> {
    /// The inner error says why this machine gives nobody a network of their own.
    async fn start(guard: &'g Guard) -> Result<Result<Self, String>> {
        let network = match Network::start(guard)? {
            Ok(network) => network,
            Err(reason) => return Ok(Err(reason)),
        };
        let manifest = "examples/registry/service-center.yaml";
        let registries = start_pods(guard, &network, manifest, None)?;
        let registry = registries.first().context("no registry")?;
        let door = registry.door(guard, 30100)?;
        let pods = start_pods(guard, &network, "examples/chain", Some(registry))?;
        let registry = Registry::at(door.address());
        for service in ["front", "service1", "service2", "service3"] {
            registry.wait_for(service, &["UP"]).await?;
        }
        registry.wait_for("service4", &["UP"; 2]).await?;
        // It ends with the guard.
        door.leave();
        Ok(Ok(Self { guard, registry, pods, _network: network, _registry: registries }))
    }

    fn pod(&self, name: &str) -> Result<&Placed> {
        let found = self.pods.iter().find(|placed| placed.pod.name == name);
        found.with_context(|| format!("no pod {name}"))
    }

    /// GET of a path from the front's application, asked within its pod.
    async fn front(&self, path: &str) -> Result<Value> {
        let door = self.pod("front-0")?.door(self.guard, 8080)?;
        Client::once(door.address(), "GET", path, "").await?.json()
    }
}

/// The answers nested in an answer, whoever gave them.
fn answers(answer: &Value) -> Vec<&Value> {
    let groups = answer["ParallelForwards"].as_array().into_iter().flatten();
    let calls =
        groups.flat_map(|group| group["SequentialForwards"].as_array().into_iter().flatten());
    calls.map(|call| &call["Response"]).flat_map(|one| [vec![one], answers(one)].concat()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_injected_examples_find_each_other() -> Result<()> {
    let guard = Guard::new()?;
    let node = match Node::start(&guard).await? {
        Ok(node) => node,
        Err(reason) => {
            testbed::skip(&reason);
            return Ok(());
        }
    };
    // The provider side is where the pod is, on the ports that the template names.
    for placed in &node.pods {
        let instances = node.registry.instances(&placed.pod.owner).await?;
        let expected = format!("rest://{}:30101", placed.host.address());
        let known = instances.iter().any(|one| one.endpoints.contains(&expected));
        ensure!(known, "{} is not at {expected}: {instances:?}", placed.pod.name);
    }

    let tree = node.front("/@service1|service2/@service3|service4/uri/").await?;
    let mut seen: Vec<_> = answers(&tree)
        .iter()
        .map(|answer| answer["Service"].as_str().unwrap_or("nobody").to_owned())
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        ["service1", "service2", "service3", "service3", "service4", "service4"],
        "{tree}"
    );
    // Each came through a proxy at both ends: the caller's writes its name, the callee's forwards.
    for answer in answers(&tree) {
        let lines = answer["RequestInfo"].as_array().context("lines")?;
        let has = |start: &str| {
            lines.iter().any(|line| line.as_str().is_some_and(|l| l.starts_with(start)))
        };
        ensure!(has("x-cse-src-microservice: "), "{answer}");
        ensure!(has("x-forwarded-host: "), "{answer}");
    }

    let other = node.front("/@service1:8081/the-end").await?;
    let lines = answers(&other).first().context("an answer")?["RequestInfo"].to_string();
    ensure!(lines.contains("Host: service1:8081"), "{lines}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_see_of_a_pod_what_they_should() -> Result<()> {
    let guard = Guard::new()?;
    let node = match Node::start(&guard).await? {
        Ok(node) => node,
        Err(reason) => {
            testbed::skip(&reason);
            return Ok(());
        }
    };
    let front = &node.pod("front-0")?.host;
    // kubelet and Prometheus come from outside, ...
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(front.status_of(30102, path), Some(200), "{path}");
    }
    // ... whoever wants to know or change more has to be in the pod.
    for path in ["/drain", "/v1/mesher/version"] {
        assert_eq!(front.status_of(30102, path), Some(404), "{path}");
    }
    let inside = node.pod("front-0")?.door(&guard, 30102)?;
    let reply = Client::once(inside.address(), "GET", "/v1/mesher/version", "").await?;
    assert_eq!(reply.status, 200);

    // The provider side hands on to the application, and to no port that it did not name.
    assert_eq!(front.status_of(30101, "/hello"), Some(200));
    let provider = format!("http://{}:30101", front.address());
    let denied = asks(&node, &["-H", "X-Forwarded-Port: 30102", &provider])?;
    ensure!(denied.contains("x-mesher-error: port_denied"), "{denied}");
    Ok(())
}

/// What service2's pod hears from elsewhere.
fn asks(node: &Node<'_>, arguments: &[&str]) -> Result<String> {
    let mut get = node.pod("service2-0")?.host.command(testbed::binary("mockserver")?);
    let output = get.args(["get", "--no-proxy", "-v"]).args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
