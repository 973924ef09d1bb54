//! The corpus, changed at random: whatever it becomes, the proxy neither hangs nor panics, and what
//! it sends on is one plain request that Go reads as it was meant.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::mesh::{Client, Raw};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testbed::Guard;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::corpus::{Case, Step, cases};
use crate::differential::differences;
use crate::peers::Peer;
use crate::requests::Proxies;

/// How many requests are made.
const REQUESTS: usize = 1_000;
/// How many of them at once.
const AT_ONCE: usize = 50;
/// How long the client waits before it says that nothing more comes. Nothing depends on it but how
/// many requests are answered rather than given up.
const MORE: Duration = Duration::from_millis(200);
/// From then on there is nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a change puts in: what parsers trip over.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ",",
    ";",
    "0",
    "3",
    "-",
    "+",
    "0x",
    "\u{b}",
    "\u{7f}",
    "\u{e9}",
    "\r\n ",
    "\r\n\r\n",
    "0\r\n\r\n",
    "chunked",
    "content-length: 3\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "host: c\r\n",
    "connection: close\r\n",
    "GET /y HTTP/1.1\r\nhost: b\r\n\r\n",
    "HTTP/1.0",
    "99999999999999999999",
];

/// One change of a request.
#[derive(Debug, Clone)]
enum Change {
    Insert(Index, &'static str),
    Remove(Index),
    Replace(Index, u8),
    Repeat(Index, Index),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), select(WORDS)).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => any::<Index>().prop_map(Change::Remove),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = bytes.len();
        if length == 0 {
            return bytes;
        }
        match change {
            Change::Insert(at, word) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, word.bytes());
            }
            Change::Remove(at) => drop(bytes.remove(at.index(length))),
            Change::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Change::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.extend(part);
            }
            Change::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

/// Sends `bytes` and reads until the end, which is made where the proxy waits for more.
async fn talk(address: SocketAddr, bytes: Vec<u8>) -> Result<()> {
    let mut client = Raw::connect(address).await?;
    let talked = async {
        // Who is refused early may see the connection end before all of it went.
        let _ = client.send(&bytes).await;
        if timeout(MORE, client.rest()).await.is_err() {
            let _ = client.finish().await;
            let _ = client.rest().await;
        }
    };
    let hangs = || format!("it hangs at {:?}", String::from_utf8_lossy(&bytes));
    timeout(PATIENCE, talked).await.with_context(hangs)
}

#[tokio::test]
async fn whatever_is_sent_what_goes_on_is_plain() -> Result<()> {
    let proxies = Proxies::start().await?;
    // The same ones each time: a failure is found again by running this again.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // Those that go on as they are: most changes make a request one that is refused.
    let goes_on = |case: &Case| matches!(case.steps.first(), Some(Step::Forwarded(..)));
    let seeds: Vec<_> = cases().into_iter().filter(goes_on).collect();
    let one = (select(seeds), vec(change(), 1..3), prop_oneof![Just(true), Just(false)]);

    let mut sent = Vec::new();
    for batch in 0..REQUESTS / AT_ONCE {
        let mut talking = JoinSet::new();
        for _ in 0..AT_ONCE {
            let drawn = one.new_tree(&mut runner).map_err(|reason| anyhow!("{reason}"))?;
            let (case, changes, consumer) = drawn.current();
            let bytes = changed(case.bytes(consumer), &changes);
            let address = if consumer { proxies.consumer } else { proxies.provider };
            talking.spawn(talk(address, bytes));
        }
        while let Some(talked) = talking.join_next().await {
            talked??;
        }
        for one in proxies.capture.take() {
            let raw = String::from_utf8_lossy(&one.raw);
            ensure!(one.faults.is_empty(), "{:?} in {raw:?}", one.faults);
            sent.push((format!("one of batch {batch}"), vec![one]));
        }
    }
    println!("{} requests went on", sent.len());
    ensure!(sent.len() > REQUESTS / 10, "only {} went on", sent.len());
    for sidecar in &proxies.sidecars {
        let log = sidecar.server.log();
        ensure!(sidecar.server.is_running() && !log.contains("panicked"), "{log}");
    }
    let reply = Client::once(proxies.consumer, "GET", "http://b/", "").await?;
    ensure!(reply.status == 200, "{}", reply.text());

    let guard = Guard::new()?;
    let go = Peer::go(&guard).await?;
    let different = differences(&go, &sent).await;
    // It refuses escapes that are none, and may: no other server reads anything else in them.
    let read: Vec<_> = different.iter().filter(|text| !text.contains("it answered 400")).collect();
    assert!(read.is_empty(), "{} reads\n{read:#?}", go.name);
    Ok(())
}
