//! Every way to get no answer from a service has a status, a word in `x-mesher-error`, and a text
//! that says what is wrong; nothing of the proxy's inside shows.

use anyhow::Result;
use e2e::mesh::{Client, Mesh, Raw, Upstream, loopback};
use e2e::wire::Reply;

/// That a reply is this refusal.
fn assert_refused(reply: &Reply, status: u16, word: &str, text: &str) {
    let found = (reply.status, reply.header("x-mesher-error"));
    assert_eq!(found, (status, Some(word)), "{}", reply.text());
    assert!(reply.text().contains(text), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn a_caller_is_told_what_is_wrong_with_its_request() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let own = caller.consumer;
    let invalid = "Invalid uri, please check:\n1, For provider, mesher listens on external ip";
    for (target, status, word, text) in [
        ("/api".to_owned(), 400, "bad_uri", invalid),
        (format!("http://{own}/api"), 400, "bad_uri", "uri format must be: http://serviceName/api"),
        ("http://a$b/".to_owned(), 400, "bad_uri", "a character that none may have"),
        ("http://me@orders/".to_owned(), 400, "bad_uri", "a user"),
        ("https://orders/".to_owned(), 400, "bad_uri", "https:// needs CONNECT"),
        ("http://nobody/".to_owned(), 502, "no_instance", "lb: No available instance, key: nobody"),
    ] {
        let mut raw = Raw::connect(own).await?;
        let host = if target.starts_with('/') { own.to_string() } else { "x".to_owned() };
        raw.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await?;
        assert_refused(&raw.reply("GET").await?, status, word, text);
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_is_told_what_is_wrong_with_the_service() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh
        .sidecar("caller")
        .key("mesher.limits.requestTimeout", "1s")
        .key("mesher.limits.connectTimeout", "1s")
        .key("mesher.limits.bodyBytes", "100")
        .start()?;

    // Nobody listens where the instance was.
    let [gone] = testbed::free_ports()?;
    mesh.registry.register("gone", loopback(gone)).await?;
    let reply = caller.get("http://gone/").await?;
    assert_refused(&reply, 502, "connect_refused", "connection refused");

    // It takes the request and says nothing.
    let silent = Upstream::start(|mut peer, _| async move { peer.rest().await.map(drop) }).await?;
    mesh.registry.register("silent", silent.address).await?;
    let reply = caller.get("http://silent/").await?;
    assert_refused(&reply, 504, "timeout", "no response came in time");

    // It hangs up instead.
    let rude = Upstream::start(|mut peer, _| async move { peer.head().await.map(drop) }).await?;
    mesh.registry.register("rude", rude.address).await?;
    let reply = caller.get("http://rude/").await?;
    assert_refused(&reply, 502, "upstream_reset", "the connection broke");

    // It speaks something else.
    let strange = Upstream::start(|mut peer, _| async move {
        peer.head().await?;
        peer.send("SSH-2.0-OpenSSH_9.2\r\n").await
    })
    .await?;
    mesh.registry.register("strange", strange.address).await?;
    let reply = caller.get("http://strange/").await?;
    assert_refused(&reply, 502, "upstream_reset", "no valid HTTP");

    let body = "x".repeat(101);
    let reply = Client::once(caller.consumer, "POST", "http://silent/", &body).await?;
    assert_refused(&reply, 413, "body_too_large", "longer than allowed");
    Ok(())
}

#[tokio::test]
async fn a_caller_is_told_what_is_wrong_behind_the_other_proxy() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    let unnamed = mesh.sidecar("unnamed").in_a_pod("unnamed").start()?;
    let caller = mesh.sidecar("caller").start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    mesh.registry.wait_for("unnamed", &["UP"]).await?;

    let reply = caller.get("http://orders:1/").await?;
    assert_refused(&reply, 403, "port_denied", "port 1 is none of the application's");
    let admin = orders.admin.port();
    let reply = caller.get(&format!("http://orders:{admin}/drain")).await?;
    assert_refused(&reply, 403, "port_denied", "none of the application's");
    let reply = caller.get(&format!("http://unnamed:{}/drain", unnamed.admin.port())).await?;
    assert_refused(&reply, 403, "port_denied", "none of the application's");
    let reply = caller.get("http://unnamed/").await?;
    let text = "[rest] is not supported, [unnamed] didn't set env [SERVICE_PORTS]";
    assert_refused(&reply, 502, "port_denied", text);

    // A provider side is nobody's proxy.
    let reply = Client::once(orders.provider()?, "GET", "http://elsewhere.example/", "").await?;
    assert_refused(&reply, 403, "passthrough_denied", "elsewhere.example");

    application.server.stop();
    let reply = caller.get("http://orders/").await?;
    assert_refused(&reply, 502, "local_refused", "takes no connection on this port");
    Ok(())
}

#[tokio::test]
async fn a_request_that_comes_back_is_stopped() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    mesh.registry.register("mirror", caller.consumer).await?;
    let reply = caller.get("http://mirror/").await?;
    assert_refused(&reply, 508, "loop", "came back to the proxy");
    Ok(())
}

/// Every replica finds itself among the instances of its service, and is as good as the others.
#[tokio::test]
async fn a_service_that_calls_itself_by_name_is_answered() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    let reply = orders.get("http://orders/hello").await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // It came in where requests of others do: it did not go to the application directly.
    let text = reply.text();
    assert!(text.contains("x-cse-src-microservice: orders"), "{text}");
    assert!(text.contains("x-forwarded-host: orders"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_is_not_there_refuses_only_what_nobody_knows() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let _orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    let caller = mesh.sidecar("caller").start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    mesh.registry.kill()?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    let reply = caller.get("http://never-asked-for/").await?;
    assert_refused(&reply, 503, "discovery_unavailable", "never-asked-for");
    Ok(())
}

#[tokio::test]
async fn an_open_circuit_refuses_and_a_probe_closes_it() -> Result<()> {
    let mesh = Mesh::start()?;
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = std::sync::Arc::clone(&well);
    let moody = Upstream::start(move |mut peer, _| {
        let well = std::sync::Arc::clone(&asked);
        async move {
            while !peer.head().await?.is_empty() {
                if !well.load(std::sync::atomic::Ordering::Relaxed) {
                    return Ok(());
                }
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await?;
            }
            Ok(())
        }
    })
    .await?;
    mesh.registry.register("moody", moody.address).await?;
    let breaker = "cse:\n  circuitBreaker:\n    Consumer:\n      enabled: true\n      \
                   requestVolumeThreshold: 5\n      sleepWindowInMilliseconds: 500\n";
    let caller = mesh.sidecar("caller").file("circuit_breaker.yaml", breaker).start()?;
    for _ in 0..5 {
        let reply = caller.get("http://moody/").await?;
        assert_refused(&reply, 502, "upstream_reset", "broke");
    }
    let reply = caller.get("http://moody/").await?;
    assert_refused(&reply, 503, "circuit_open", "is isolated because of error: circuit open");
    let before = moody.accepted();
    well.store(true, std::sync::atomic::Ordering::Relaxed);
    e2e::mesh::eventually("answered again", async || {
        let reply = caller.get("http://moody/").await?;
        Ok(if reply.status == 200 { Ok(()) } else { Err(reply.text()) })
    })
    .await?;
    assert_eq!(moody.accepted(), before + 1, "nothing but the probe went there");
    assert_eq!(caller.get("http://moody/").await?.text(), "well");
    Ok(())
}
