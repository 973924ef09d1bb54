//! nginx, Envoy and Go read in what a proxy sends on what it meant, and just as many requests.

use anyhow::Result;
use testbed::Guard;

use crate::capture::{Meaning, Seen};
use crate::peers::Peer;
use crate::requests::Proxies;

/// What some of them refuse: it is unusual, but it can be read in one way only.
const REFUSED_BY_SOME: &[&str] =
    &["an escaped NUL", "an escape that is none", "a method in small letters", "letters that no"];

/// What `peer` reads differently in what was sent on of each case.
pub(crate) async fn differences(peer: &Peer, sent: &[(String, Vec<Seen>)]) -> Vec<String> {
    let mut different = Vec::new();
    for (name, seen) in sent {
        let raw: Vec<u8> = seen.iter().flat_map(|one| one.raw.clone()).collect();
        let methods: Vec<&str> = seen.iter().map(|one| one.meaning.method.as_str()).collect();
        let meant: Vec<&Meaning> = seen
            .iter()
            .map(|one| &one.meaning)
            // Go can't say what it read in a request whose answer has no body.
            .filter(|meaning| peer.name != "Go" || meaning.method != "HEAD")
            .collect();
        let shown = String::from_utf8_lossy(&raw);
        match peer.read(&raw, &methods).await {
            Ok(read) if read.iter().eq(meant.iter().copied()) => {}
            Ok(read) => different.push(format!("{name}: {read:#?} in {shown:?}")),
            Err(_) if REFUSED_BY_SOME.iter().any(|case| name.starts_with(case)) => {}
            Err(error) => different.push(format!("{name}: {error:#}, of {shown:?}")),
        }
    }
    different
}

/// All that goes on of the corpus.
async fn sent() -> Result<Vec<(String, Vec<Seen>)>> {
    let proxies = Proxies::start().await?;
    let mut sent = Vec::new();
    proxies
        .play_all(async |side, case, seen, played| {
            played?;
            if !seen.is_empty() {
                sent.push((format!("{}, {side}", case.name), seen));
            }
            Ok(())
        })
        .await?;
    assert!(sent.len() > 50, "{}", sent.len());
    Ok(sent)
}

async fn judge(peer: Result<Peer, String>) -> Result<()> {
    let peer = match peer {
        Ok(peer) => peer,
        Err(reason) => {
            testbed::skip(&reason);
            return Ok(());
        }
    };
    let different = differences(&peer, &sent().await?).await;
    assert!(different.is_empty(), "{} reads\n{}", peer.name, different.join("\n"));
    Ok(())
}

#[tokio::test]
async fn go_reads_what_was_meant() -> Result<()> {
    let guard = Guard::new()?;
    judge(Ok(Peer::go(&guard).await?)).await
}

#[tokio::test]
async fn nginx_reads_what_was_meant() -> Result<()> {
    let guard = Guard::new()?;
    judge(Peer::nginx(&guard).await?).await
}

#[tokio::test]
async fn envoy_reads_what_was_meant() -> Result<()> {
    let guard = Guard::new()?;
    judge(Peer::envoy(&guard).await?).await
}
