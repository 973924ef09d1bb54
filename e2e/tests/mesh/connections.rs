//! More connections than anybody needs, and clients that do not do their part.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use e2e::mesh::{Client, Memory, Mesh, Raw, Upstream, descriptors, eventually};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

const IDLE: usize = 10_000;
/// What one of them may take that has been served, its share of the tables included. Most of it is
/// what hyper reads into, and it grows with the longest head.
const EACH: u64 = 16 << 10;
/// From where they come: see [`Raw::connect_from`].
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 3, 1));

/// An instance that answers everything at once.
async fn quick() -> Result<Upstream> {
    Upstream::start(|mut peer, _| async move {
        loop {
            peer.head().await?;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_stop_nothing() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < 12_000 {
        testbed::skip(&format!("no process may open 12000 files here: ulimit -Hn is {hard}"));
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard)?;
    let mesh = Mesh::start()?;
    let quick = quick().await?;
    mesh.registry.register("quick", quick.address).await?;
    let caller = mesh.sidecar("caller").start()?;
    assert_eq!(caller.get("http://quick/").await?.status, 200);
    let (files, before) = (descriptors(&caller.server)?, Memory::of(&caller.server)?.anonymous);

    let mut connecting = JoinSet::new();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let consumer = caller.consumer;
        connecting.spawn(async move {
            let mut client = Raw::connect_from(ELSEWHERE, consumer).await?;
            // Half of them never say a word.
            if number % 2 == 0 {
                client.send("GET http://quick/ HTTP/1.1\r\nhost: quick\r\n\r\n").await?;
                ensure!(client.reply("GET").await?.status == 200);
            }
            Ok(client)
        });
        if connecting.len() >= 64 {
            idle.extend(connecting.join_next().await.transpose()?.transpose()?);
        }
    }
    while let Some(client) = connecting.join_next().await {
        idle.push(client??);
    }
    eventually("all of them at the proxy", async || {
        let now = descriptors(&caller.server)?;
        Ok(if now >= files + IDLE { Ok(()) } else { Err(now.to_string()) })
    })
    .await?;
    let each = (Memory::of(&caller.server)?.anonymous - before) / IDLE as u64;
    println!("{each} bytes for each idle connection");
    assert!(each <= EACH, "{each} bytes for each idle connection");

    let mut client = Client::new(caller.consumer);
    for _ in 0..100 {
        assert_eq!(client.get("http://quick/", &[]).await?.status, 200);
    }
    // They were really there, and are no loss.
    for client in idle.iter_mut().step_by(1_000) {
        client.send("GET http://quick/ HTTP/1.1\r\nhost: quick\r\n\r\n").await?;
        assert_eq!(client.reply("GET").await?.status, 200);
    }
    drop(idle);
    // Some that lead to the instance are kept.
    eventually("no more than before", async || {
        let now = descriptors(&caller.server)?;
        Ok(if now <= files + 100 { Ok(()) } else { Err(now.to_string()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_descriptor_left_makes_room_and_goes_on() -> Result<()> {
    let mesh = Mesh::start()?;
    let quick = quick().await?;
    mesh.registry.register("quick", quick.address).await?;
    let caller = mesh.sidecar("caller").descriptors(100).start()?;
    assert_eq!(caller.get("http://quick/").await?.status, 200);

    // Idle ones hold all there are; who comes then is served nevertheless.
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Raw::connect(caller.consumer).await?);
    }
    for _ in 0..20 {
        assert_eq!(caller.get("http://quick/").await?.status, 200);
    }
    ensure!(caller.server.log().contains("no connection can be taken at the moment"));
    drop(idle);

    // Busy ones do: somebody goes away empty-handed, and is told so or may try again.
    let mut busy = JoinSet::new();
    for _ in 0..150 {
        let consumer = caller.consumer;
        busy.spawn(async move {
            let mut answered = 0;
            let mut client = Client::new(consumer);
            for _ in 0..5 {
                match client.get("http://quick/", &[]).await {
                    Ok(reply) if reply.status == 200 => answered += 1,
                    Ok(reply) => {
                        let word = reply.header("x-mesher-error");
                        ensure!(word == Some("overload"), "{}: {}", reply.status, reply.text());
                    }
                    // Closed to make room, while it was idle.
                    Err(_) => client = Client::new(consumer),
                }
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(one) = busy.join_next().await {
        answered += one??;
    }
    assert!(answered > 0, "some got through");
    let mut client = Client::new(caller.consumer);
    for _ in 0..50 {
        let reply = client.get("http://quick/", &[]).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_only_itself() -> Result<()> {
    let mesh = Mesh::start()?;
    let quick = quick().await?;
    mesh.registry.register("quick", quick.address).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let endless = Upstream::start(move |mut peer, _| {
        let count = Arc::clone(&count);
        async move {
            peer.head().await?;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await?;
            let block = vec![b'x'; 64 << 10];
            loop {
                peer.send(&block).await?;
                count.fetch_add(64 << 10, Ordering::Relaxed);
            }
        }
    })
    .await?;
    mesh.registry.register("endless", endless.address).await?;
    let caller = mesh.sidecar("caller").start()?;
    assert_eq!(caller.get("http://quick/").await?.status, 200);
    let before = Memory::of(&caller.server)?.anonymous;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut client = Raw::connect(caller.consumer).await?;
        client.send("GET http://endless/ HTTP/1.1\r\nhost: endless\r\n\r\n").await?;
        client.head().await?;
        deaf.push(client);
    }
    // What the sockets on the way hold has gone; then nothing more does.
    let mut last = 0;
    let mut client = Client::new(caller.consumer);
    eventually("an end of what is sent", async || {
        for _ in 0..50 {
            assert_eq!(client.get("http://quick/", &[]).await?.status, 200);
        }
        let now = sent.load(Ordering::Relaxed);
        let rests = std::mem::replace(&mut last, now) == now;
        Ok(if rests { Ok(()) } else { Err(format!("{now} bytes and counting")) })
    })
    .await?;
    let extra = Memory::of(&caller.server)?.anonymous.saturating_sub(before);
    println!("{extra} bytes held for eight that do not read");
    assert!(extra < 5 << 20, "{extra} bytes held for eight that do not read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_send_what_it_announced_spoils_it_for_nobody() -> Result<()> {
    let mesh = Mesh::start()?;
    let upstream = Upstream::start(|mut peer, _| async move {
        loop {
            let head = peer.head().await?;
            peer.body_of(&head).await?;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    })
    .await?;
    mesh.registry.register("orders", upstream.address).await?;
    let breaker = "cse:\n  circuitBreaker:\n    Consumer:\n      enabled: true\n      \
                   requestVolumeThreshold: 5\n";
    let caller = mesh
        .sidecar("caller")
        .file("circuit_breaker.yaml", breaker)
        .key("mesher.limits.requestTimeout", "1s")
        .start()?;
    let mut slow = JoinSet::new();
    for _ in 0..10 {
        let consumer = caller.consumer;
        slow.spawn(async move {
            let mut client = Raw::connect(consumer).await?;
            let head = "POST http://orders/ HTTP/1.1\r\nhost: orders\r\ncontent-length: 9\r\n\r\n";
            client.send(format!("{head}half")).await?;
            let reply = client.reply("POST").await?;
            let found = (reply.status, reply.header("x-mesher-error"));
            ensure!(found == (408, Some("timeout")), "{found:?}: {}", reply.text());
            ensure!(client.is_ended().await?, "nobody knows where the next request begins");
            Ok(())
        });
    }
    while let Some(ended) = slow.join_next().await {
        ended??;
    }
    // It was not the service that was slow: its circuit is closed.
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    Ok(())
}
