//! Instances that are neither there nor gone: nobody who calls others has to wait for them, and
//! who calls them gets an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use e2e::mesh::{Client, Mesh, Raw, Sidecar, Upstream, eventually};
use nix::sys::signal::Signal;
use tokio::task::JoinSet;

/// How many wait for the half-dead instance at once.
const WAITING: usize = 40;

/// A caller's proxy that does not wait for long.
fn caller(mesh: &Mesh) -> Result<Sidecar> {
    mesh.sidecar("caller").key("mesher.limits.requestTimeout", "1s").start()
}

/// While many wait for service `dead`, others are served; all get the answer that is expected.
async fn others_are_served(caller: &Sidecar, dead: &str, status: u16, word: &str) -> Result<()> {
    let url = format!("http://{dead}/");
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        let (consumer, url) = (caller.consumer, url.clone());
        waiting.spawn(async move { Client::once(consumer, "GET", &url, "").await });
    }
    let mut client = Client::new(caller.consumer);
    while !waiting.is_empty() {
        let reply = client.get("http://well/", &[]).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        while let Some(reply) = waiting.try_join_next() {
            let reply = reply??;
            let found = (reply.status, reply.header("x-mesher-error"));
            assert_eq!(found, (status, Some(word)), "{}", reply.text());
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_accept_and_then_fail_in_every_way() -> Result<()> {
    let mesh = Mesh::start()?;
    let well = mesh.mockserver("well", &[])?;
    mesh.registry.register("well", e2e::mesh::loopback(well.port)).await?;
    let caller = caller(&mesh)?;
    let cases = [
        ("", false, 504, "timeout"),
        ("", true, 502, "upstream_reset"),
        ("HTTP/1.1 200 OK\r\ncontent-le", false, 504, "timeout"),
        ("HTTP/1.1 200 OK\r\ncontent-le", true, 502, "upstream_reset"),
        ("HTTP/1.1 100 Continue\r\n\r\n", false, 504, "timeout"),
        ("HTTP/1.1 100 Continue\r\n\r\n", true, 502, "upstream_reset"),
        ("\0\u{1}\u{2}", false, 502, "upstream_reset"),
    ];
    for (number, (said, hangs_up, status, word)) in cases.into_iter().enumerate() {
        let dead = Upstream::start(move |mut peer, _| async move {
            peer.head().await?;
            peer.send(said).await?;
            if !hangs_up {
                peer.rest().await?;
            }
            Ok(())
        })
        .await?;
        let name = format!("dead-{number}");
        mesh.registry.register(&name, dead.address).await?;
        others_are_served(&caller, &name, status, word).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_body_and_then_silence_is_the_callers_to_end() -> Result<()> {
    let mesh = Mesh::start()?;
    let well = mesh.mockserver("well", &[])?;
    mesh.registry.register("well", e2e::mesh::loopback(well.port)).await?;
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let dead = Upstream::start(move |mut peer, _| {
        let count = Arc::clone(&count);
        async move {
            peer.head().await?;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await?;
            peer.rest().await.ok();
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await?;
    mesh.registry.register("dead", dead.address).await?;
    let caller = caller(&mesh)?;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut client = Raw::connect(caller.consumer).await?;
        client.send("GET http://dead/ HTTP/1.1\r\nhost: dead\r\n\r\n").await?;
        client.until(b"\r\n\r\nhalf").await?;
        waiting.push(client);
    }
    assert_eq!(caller.get("http://well/").await?.status, 200);
    drop(waiting);
    eventually("the end of all that nobody waits for", async || {
        let ended = ended.load(Ordering::SeqCst);
        Ok(if ended == WAITING { Ok(()) } else { Err(ended.to_string()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_and_goes_on() -> Result<()> {
    let mesh = Mesh::start()?;
    let (dead, well) = (mesh.mockserver("dead", &[])?, mesh.mockserver("well", &[])?);
    let _dead = mesh.sidecar("dead").serving("dead", dead.port).start()?;
    mesh.registry.register("well", e2e::mesh::loopback(well.port)).await?;
    mesh.registry.wait_for("dead", &["UP"]).await?;
    let caller = caller(&mesh)?;
    assert_eq!(caller.get("http://dead/").await?.status, 200);
    dead.server.signal(Signal::SIGSTOP)?;
    others_are_served(&caller, "dead", 504, "timeout").await?;
    dead.server.signal(Signal::SIGCONT)?;
    let mut client = Client::new(caller.consumer);
    eventually("answered again", async || {
        let reply = client.get("http://dead/", &[]).await?;
        Ok(if reply.status == 200 { Ok(()) } else { Err(reply.text()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_service_is_waited_for_and_delays_nobody_else() -> Result<()> {
    let mesh = Mesh::start()?;
    let slow = mesh.mockserver("slow", &["-delay", "3s"])?;
    let well = mesh.mockserver("well", &[])?;
    mesh.registry.register("slow", e2e::mesh::loopback(slow.port)).await?;
    mesh.registry.register("well", e2e::mesh::loopback(well.port)).await?;
    let caller = mesh.sidecar("caller").start()?;
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        let consumer = caller.consumer;
        waiting.spawn(async move { Client::once(consumer, "GET", "http://slow/", "").await });
    }
    let mut client = Client::new(caller.consumer);
    let mut served = 0;
    while !waiting.is_empty() {
        assert_eq!(client.get("http://well/", &[]).await?.status, 200);
        served += 1;
        while let Some(reply) = waiting.try_join_next() {
            assert_eq!(reply??.status, 200);
        }
        tokio::task::yield_now().await;
    }
    assert!(served > WAITING, "only {served} were served meanwhile");
    Ok(())
}
