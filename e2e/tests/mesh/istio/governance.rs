//! What DestinationRules and VirtualServices say of how requests are governed.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e::mesh::{Client, Raw, Upstream, eventually};
use e2e::wire::Reply;
use tokio::sync::Semaphore;

use super::{Town, host};

impl Town {
    /// A service of the town at these ports, and what a DestinationRule says of it.
    fn apply_service(&self, name: &str, ports: &[u16], policy: &str) -> Result<()> {
        // Two endpoints of one address have to differ in something else, too.
        let endpoint = |port: &u16| {
            format!(
                "  - {{address: 127.0.0.1, ports: {{http: {port}}}, labels: {{port: '{port}'}}}}\n"
            )
        };
        let endpoints: String = ports.iter().map(endpoint).collect();
        self.apply_destination(name, &endpoints, &format!("  trafficPolicy: {policy}\n"))
    }

    /// What a VirtualService says of all requests to a service.
    fn apply_terms(&self, name: &str, terms: &str) -> Result<()> {
        let host = host(name);
        let route = format!("  - route: [{{destination: {{host: {host}}}}}]\n    {terms}\n");
        self.apply_virtual_service(name, &route)
    }

    /// Waits until what the caller's admin port has of a service is as `right` says.
    async fn knows(&self, name: &str, right: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
        let path = format!("/v1/mesher/services/shop/{}", host(name));
        eventually(name, async || {
            // It is followed from the first request on.
            self.caller.get(&format!("http://{name}:8080/")).await?;
            let shown = Client::once(self.caller.admin, "GET", &path, "").await?;
            let known = shown.status == 200 && right(&shown.json()?);
            Ok(if known { Ok(()) } else { Err(shown.text()) })
        })
        .await
    }
}

fn instance(reply: &Reply) -> Result<String> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    Ok(reply.json()?["Instance"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outlier_is_left_out_as_its_destination_rule_says() -> Result<()> {
    let town = Town::start()?;
    let good = town.mesh.mockserver("good", &[])?;
    let bad = town.mesh.mockserver("bad", &["-failRate", "1"])?;
    // Nothing is to be tried again in between.
    town.apply_terms("picky", "retries: {attempts: 0}")?;
    town.apply_service(
        "picky",
        &[good.port, bad.port],
        "{outlierDetection: {consecutive5xxErrors: 4, baseEjectionTime: 1h, maxEjectionPercent: 100}}",
    )?;
    town.knows("picky", |shown| shown["trouble"] == "evicted").await?;
    let mut client = Client::new(town.caller.consumer);
    for _ in 0..20 {
        ensure!(instance(&client.get("http://picky:8080/", &[]).await?)? == "good");
    }
    let metrics = Client::once(town.caller.admin, "GET", "/metrics", "").await?.text();
    ensure!(metrics.contains("mesher_evictions_total{reason=\"outlier\"} 1"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_under_way_than_a_destination_rule_lets() -> Result<()> {
    let town = Town::with(None, |setup| setup.key("mesher.limits.queue", "0"))?;
    let gate = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let narrow = Upstream::start(move |mut peer, _| {
        let opens = Arc::clone(&opens);
        async move {
            loop {
                let head = peer.head().await?;
                if head.to_ascii_lowercase().contains("x-wait") {
                    opens.acquire().await?.forget();
                }
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
            }
        }
    })
    .await?;
    let port = narrow.address.port();
    town.apply_service("narrow", &[port], "{connectionPool: {http: {http2MaxRequests: 1}}}")?;
    town.apply_service("wide", &[port], "{connectionPool: {http: {http2MaxRequests: 100}}}")?;
    for name in ["narrow", "wide"] {
        town.knows(name, |shown| shown["instanceCount"] == 1).await?;
    }
    let mut first = Raw::connect(town.caller.consumer).await?;
    first
        .send("GET http://narrow:8080/ HTTP/1.1\r\nhost: narrow:8080\r\nx-wait: a\r\n\r\n")
        .await?;
    eventually("refused", async || {
        let reply = town.caller.get("http://narrow:8080/").await?;
        let refused = (reply.status, reply.header("x-mesher-error")) == (503, Some("overload"));
        Ok(if refused { Ok(()) } else { Err(format!("{reply:?}")) })
    })
    .await?;
    ensure!(town.caller.get("http://wide:8080/").await?.status == 200, "it has room");
    gate.add_permits(1);
    ensure!(first.reply("GET").await?.status == 200);
    ensure!(town.caller.get("http://narrow:8080/").await?.status == 200, "there is room again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_or_a_cookie_decides_by_its_hash() -> Result<()> {
    let town = Town::start()?;
    let ports: Vec<u16> = town.versions.iter().map(|version| version.port).collect();
    let by = |hash: &str| format!("{{loadBalancer: {{consistentHash: {{{hash}}}}}}}");
    town.apply_service("by-header", &ports, &by("httpHeaderName: x-user"))?;
    town.apply_service("by-cookie", &ports, &by("httpCookie: {name: user, ttl: 0s}"))?;
    for (service, header, value) in [("by-header", "x-user", ""), ("by-cookie", "cookie", "user=")]
    {
        town.knows(service, |shown| shown["instanceCount"] == 3).await?;
        let url = format!("http://{service}:8080/");
        let mut client = Client::new(town.caller.consumer);
        let mut answers = BTreeSet::new();
        for user in (0..60).chain(0..60) {
            let value = format!("{value}user-{user}");
            let reply = client.get(&url, &[(header, &value)]).await?;
            answers.insert((user, instance(&reply)?));
        }
        ensure!(answers.len() == 60, "{service}: each stays where it was: {answers:?}");
        let instances: BTreeSet<_> = answers.into_iter().map(|(_, instance)| instance).collect();
        ensure!(instances.len() == 3, "{service}: {instances:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_timeouts_are_those_of_the_virtual_service() -> Result<()> {
    let town = Town::start()?;
    let good = town.mesh.mockserver("good", &[])?;
    let bad = town.mesh.mockserver("bad", &["-failRate", "1"])?;
    let never = town.mesh.mockserver("never", &["-delay", "1h"])?;
    let in_turn = "{loadBalancer: {simple: ROUND_ROBIN}}";
    let services = [
        ("again", &[good.port, bad.port][..], "retries: {attempts: 2, retryOn: 5xx}"),
        ("once", &[bad.port], "retries: {attempts: 0}"),
        (
            "elsewhere",
            &[good.port, never.port],
            "retries: {attempts: 1, perTryTimeout: 2s, retryOn: 5xx}",
        ),
        ("late", &[never.port], "timeout: 0.3s"),
    ];
    for (name, ports, terms) in services {
        town.apply_terms(name, terms)?;
        town.apply_service(name, ports, in_turn)?;
    }
    let status = Client::once(e2e::mesh::loopback(bad.port), "GET", "/", "").await?.status;
    let mut client = Client::new(town.caller.consumer);
    // The last to be told is known when it ends in time.
    eventually("a timeout", async || {
        let late = client.get("http://late:8080/", &[]).await?;
        let known = (late.status, late.header("x-mesher-error")) == (504, Some("timeout"));
        Ok(if known { Ok(()) } else { Err(format!("{late:?}")) })
    })
    .await?;
    for _ in 0..20 {
        instance(&client.get("http://again:8080/", &[]).await?)?;
        ensure!(client.get("http://once:8080/", &[]).await?.status == status);
    }
    for _ in 0..2 {
        ensure!(instance(&client.get("http://elsewhere:8080/", &[]).await?)? == "good");
    }
    let metrics = Client::once(town.caller.admin, "GET", "/metrics", "").await?.text();
    for reason in ["status", "try_timeout"] {
        let line = format!("side=\"consumer\",reason=\"{reason}\"}}");
        ensure!(metrics.contains(&line), "{reason}: {metrics}");
    }
    Ok(())
}
