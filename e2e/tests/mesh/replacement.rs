//! Instances come and go while their service is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Application, Client, Load, Mesh, PATIENCE, Sidecar, Upstream, eventually};
use nix::sys::signal::Signal;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

/// Requests that are made while three instances are replaced.
const REQUESTS: u64 = 10_000;
const CLIENTS: u64 = 8;

/// An instance of `orders`.
fn instance(mesh: &Mesh, name: &str) -> Result<(Application, Sidecar)> {
    let application = mesh.mockserver(name, &[])?;
    let sidecar = mesh.sidecar(name).serving("orders", application.port).start()?;
    Ok((application, sidecar))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_are_replaced_one_by_one_and_no_request_fails() -> Result<()> {
    replace_three("true", REQUESTS).await
}

/// Where no watch gets through, the next refresh is half a minute away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_where_changes_are_only_polled() -> Result<()> {
    replace_three("false", REQUESTS / 4).await
}

async fn replace_three(watch: &str, requests: u64) -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").key("servicecomb.registry.watch", watch).start()?;
    let old = ["one", "two", "three"].map(|name| instance(&mesh, name));
    mesh.registry.wait_for("orders", &["UP"; 3]).await?;

    let load = Load::start(caller.consumer, "http://orders/hello", CLIENTS);
    load.more(requests / 8).await?;
    let mut new = Vec::new();
    for (number, old) in old.into_iter().enumerate() {
        let (application, sidecar) = old?;
        new.push(block_in_place(|| instance(&mesh, &format!("new-{number}")))?);
        mesh.registry.wait_for("orders", &["UP"; 4]).await?;
        // As kubelet does it: the hook, then the signal, and the application goes last.
        let drained = block_in_place(|| sidecar.drain())?;
        ensure!(drained.status.success(), "{drained:?}");
        sidecar.server.signal(Signal::SIGTERM)?;
        let ended = block_in_place(|| sidecar.server.wait_for_exit(PATIENCE))?;
        ensure!(ended.success(), "{ended}: {}", sidecar.server.log());
        application.server.stop();
        mesh.registry.wait_for("orders", &["UP"; 3]).await?;
        load.more(requests / 8).await?;
    }
    load.more(requests.saturating_sub(load.answered())).await?;
    let tally = load.finish().await;
    assert_eq!(tally.failures, Vec::<String>::new(), "of {} requests", tally.answered);
    assert!(tally.answered >= requests, "{}", tally.answered);

    // It was the new ones who answered in the end.
    let mut seen = Vec::new();
    for _ in 0..6 {
        let reply = caller.get("http://orders/").await?.json()?;
        seen.push(reply["Instance"].as_str().context("an instance")?.to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["new-0", "new-1", "new-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_is_killed_fails_no_more_than_was_under_way() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let [one, two] = ["one", "two"].map(|name| instance(&mesh, name));
    let ((victim, _sidecar), _two) = (one?, two?);
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let load = Load::start(caller.consumer, "http://orders/hello", CLIENTS);
    load.more(500).await?;
    // Its proxy goes on, and says of each request that it was not handed on.
    victim.server.stop();
    load.more(1_000).await?;
    let tally = load.finish().await;
    assert!(tally.failures.len() <= usize::try_from(CLIENTS)?, "{:#?}", tally.failures);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_killed_under_load_fails_no_more_than_was_under_way() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let all = ["one", "two", "three"].map(|name| instance(&mesh, name));
    let [one, two, three] = all;
    let ((_application, victim), _two, _three) = (one?, two?, three?);
    mesh.registry.wait_for("orders", &["UP"; 3]).await?;
    let load = Load::start(caller.consumer, "http://orders/hello", CLIENTS);
    load.more(500).await?;
    victim.server.stop();
    load.more(1_000).await?;
    let tally = load.finish().await;
    // A client has one request under way at a time.
    assert!(tally.failures.len() <= usize::try_from(CLIENTS)?, "{:#?}", tally.failures);
    for failure in &tally.failures {
        assert!(failure.contains("502") && failure.contains("the connection broke"), "{failure}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_killed_takes_just_what_it_was_working_on() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let (one, two) = (Held::new().await?, Held::new().await?);
    let setup = mesh.sidecar("one").serving("orders", one.upstream.address.port());
    let victim = setup.clone().start()?;
    let _two = mesh.sidecar("two").serving("orders", two.upstream.address.port()).start()?;
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;

    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let consumer = caller.consumer;
        let call =
            async move { Client::once(consumer, "POST", "http://orders/held", "once").await };
        calls.spawn(call);
    }
    let arrived = || one.arrived.load(Ordering::SeqCst) + two.arrived.load(Ordering::SeqCst);
    eventually("ten under way", async || {
        Ok(if arrived() == 10 { Ok(()) } else { Err(arrived().to_string()) })
    })
    .await?;
    let lost = one.arrived.load(Ordering::SeqCst);
    let port = victim.consumer.port();
    block_in_place(|| victim.server.stop());
    two.go_on.store(true, Ordering::SeqCst);
    let mut statuses = Vec::new();
    while let Some(call) = calls.join_next().await {
        let reply = call??;
        ensure!(reply.status == 200 || reply.header("x-mesher-error") == Some("upstream_reset"));
        statuses.push(reply.status);
    }
    assert!(lost > 0, "both are asked");
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), lost, "{statuses:?}");
    assert_eq!(arrived(), 10, "nothing was sent twice");

    // Nobody else notices, although the registry does not know yet.
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let mut client = Client::new(caller.consumer);
    for number in 0..100 {
        let method = ["GET", "POST"][number % 2];
        let reply = client.send(method, "http://orders/", &[], "body".into()).await?;
        assert_eq!(reply.status, 200, "{method}: {}", reply.text());
    }

    // Back where it was, it is found again.
    one.go_on.store(true, Ordering::SeqCst);
    let before = one.answered.load(Ordering::SeqCst);
    let _again = block_in_place(|| setup.start_at(port))?;
    eventually("asked again", async || {
        let reply = client.get("http://orders/", &[]).await?;
        ensure!(reply.status == 200, "{}", reply.text());
        let asked = one.answered.load(Ordering::SeqCst) > before;
        Ok(if asked { Ok(()) } else { Err("the other one".to_owned()) })
    })
    .await
}

/// An application whose requests for `/held` wait until they are let go.
struct Held {
    arrived: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    go_on: Arc<AtomicBool>,
    upstream: Upstream,
}

impl Held {
    async fn new() -> Result<Self> {
        let (arrived, answered) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let go_on = Arc::<AtomicBool>::default();
        let told = (Arc::clone(&arrived), Arc::clone(&answered), Arc::clone(&go_on));
        let upstream = Upstream::start(move |mut peer, _| {
            let (arrived, answered, go_on) = told.clone();
            async move {
                loop {
                    let head = peer.head().await?;
                    peer.body_of(&head).await?;
                    if head.starts_with("POST /held") {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        while !go_on.load(Ordering::SeqCst) {
                            sleep(Duration::from_millis(5)).await;
                        }
                    }
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await?;
        Ok(Self { arrived, answered, go_on, upstream })
    }
}
