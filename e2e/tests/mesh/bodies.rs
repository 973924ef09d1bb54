//! Bodies are passed on as they come: through both proxies, in constant memory, and their ends are
//! the ends that the other side made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use e2e::mesh::{Memory, Mesh, Raw, Sidecar, Upstream, eventually};
use tokio::sync::Notify;

const GIB: u64 = 1 << 30;
/// The most that a proxy's peak may grow while one of them goes through.
const EXTRA: u64 = 5 << 20;
/// What is sent at once.
const BLOCK: usize = 256 << 10;

/// A caller's proxy and that of `orders`, before an upstream.
struct Pair {
    mesh: Mesh,
    caller: Sidecar,
    orders: Sidecar,
}

impl Pair {
    async fn before(upstream: &Upstream) -> Result<Self> {
        let mesh = Mesh::start()?;
        let orders = mesh.sidecar("orders").serving("orders", upstream.address.port()).start()?;
        let caller = mesh.sidecar("caller").start()?;
        mesh.registry.wait_for("orders", &["UP"]).await?;
        Ok(Self { mesh, caller, orders })
    }

    fn peaks(&self) -> Result<[u64; 2]> {
        Ok([Memory::of(&self.caller.server)?.peak, Memory::of(&self.orders.server)?.peak])
    }
}

/// Receives what it is sent and says how much that was; sends as much as it is asked for.
async fn storage() -> Result<Upstream> {
    Upstream::start(|mut peer, _| async move {
        loop {
            let head = peer.head().await?;
            let length = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                let value = lines.find(|(found, _)| *found == name).map(|(_, value)| value);
                value.unwrap_or("0").parse::<u64>()
            };
            let (received, wanted) = (length("content-length")?, length("x-wanted")?);
            peer.skip(received).await?;
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {wanted}\r\n\r\n")).await?;
            send_many(&mut peer, wanted).await?;
        }
    })
    .await
}

async fn send_many(to: &mut Raw, count: u64) -> Result<()> {
    let block = vec![b'x'; BLOCK];
    let mut left = count;
    while left > 0 {
        let now = left.min(BLOCK as u64);
        to.send(&block[..usize::try_from(now)?]).await?;
        left -= now;
    }
    Ok(())
}

/// Sends a request with a body of `up` bytes, and receives a response of `down`.
async fn transfer(client: &mut Raw, up: u64, down: u64) -> Result<()> {
    let head = "POST http://orders/ HTTP/1.1\r\nhost: orders\r\n";
    client.send(format!("{head}content-length: {up}\r\nx-wanted: {down}\r\n\r\n")).await?;
    send_many(client, up).await?;
    let head = client.head().await?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    ensure!(head.contains(&format!("content-length: {down}\r\n")), "{head}");
    client.skip(down).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_in_each_direction_takes_no_memory() -> Result<()> {
    let storage = storage().await?;
    let pair = Pair::before(&storage).await?;
    let mut client = Raw::connect(pair.caller.consumer).await?;
    // What is needed once: buffers, and the pages of the program.
    transfer(&mut client, 8 << 20, 8 << 20).await?;
    for (name, up, down) in [("up", GIB, 1), ("down", 1, GIB)] {
        let before = pair.peaks()?;
        transfer(&mut client, up, down).await?;
        let after = pair.peaks()?;
        for (who, (before, after)) in ["caller", "orders"].iter().zip(before.iter().zip(after)) {
            // The system counts in steps of many pages.
            let extra = after.saturating_sub(*before);
            println!("{name}: the peak of {who}'s proxy grew by {extra} bytes");
            assert!(extra < EXTRA, "{name}: {who}'s proxy took {extra} bytes more");
        }
    }
    drop(pair.mesh);
    Ok(())
}

#[tokio::test]
async fn a_caller_that_leaves_is_gone_for_the_service_too() -> Result<()> {
    let left = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&left);
    let endless = Upstream::start(move |mut peer, _| {
        let told = Arc::clone(&told);
        async move {
            peer.head().await?;
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            while peer.send("5\r\nabcde\r\n").await.is_ok() {}
            told.store(true, Ordering::SeqCst);
            Ok(())
        }
    })
    .await?;
    let pair = Pair::before(&endless).await?;
    let mut client = Raw::connect(pair.caller.consumer).await?;
    client.send("GET http://orders/ HTTP/1.1\r\nhost: orders\r\n\r\n").await?;
    client.until(b"abcde").await?;
    assert!(!left.load(Ordering::SeqCst));
    drop(client);
    eventually("the end of the upstream's connection", async || {
        Ok(if left.load(Ordering::SeqCst) { Ok(()) } else { Err("it goes on".to_owned()) })
    })
    .await
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_is_gone_for_the_service_too() -> Result<()> {
    let (began, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&left));
    let waiting = Upstream::start(move |mut peer, _| {
        let (began, left) = told.clone();
        async move {
            peer.head().await?;
            began.notify_one();
            ensure!(peer.is_ended().await?, "it lives on");
            left.notify_one();
            Ok(())
        }
    })
    .await?;
    let pair = Pair::before(&waiting).await?;
    let mut client = Raw::connect(pair.caller.consumer).await?;
    client.send("GET http://orders/ HTTP/1.1\r\nhost: orders\r\n\r\n").await?;
    began.notified().await;
    drop(client);
    tokio::time::timeout(e2e::mesh::PATIENCE, left.notified()).await?;
    Ok(())
}

#[tokio::test]
async fn a_service_that_breaks_off_breaks_the_answer_off() -> Result<()> {
    for head in ["content-length: 9\r\n", "transfer-encoding: chunked\r\n", ""] {
        let go_on = Arc::new(Notify::new());
        let told = Arc::clone(&go_on);
        let breaking = Upstream::start(move |mut peer, _| {
            let told = Arc::clone(&told);
            async move {
                peer.head().await?;
                let part = if head.starts_with("transfer") { "3\r\nabc\r\n" } else { "abc" };
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{part}")).await?;
                told.notified().await;
                peer.reset()
            }
        })
        .await?;
        let pair = Pair::before(&breaking).await?;
        let mut client = Raw::connect(pair.caller.consumer).await?;
        client.send("GET http://orders/ HTTP/1.1\r\nhost: orders\r\n\r\n").await?;
        client.until(b"abc").await?;
        go_on.notify_one();
        let rest = client.rest().await;
        assert!(rest.is_err(), "{head:?}: it looks whole: {rest:?}");
    }
    Ok(())
}
