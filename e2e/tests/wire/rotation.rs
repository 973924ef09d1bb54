//! Certificates that live for seconds, while clients connect without a pause.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use certs::Certificate;
use e2e::injector::{Injector, PATIENCE, tls_folder, trusting};
use e2e::wire::{Http1, Http2};

use crate::data::V1;

/// A leaf outlives its renewal by many seconds: a loaded machine may be late.
const SECONDS: &str = "tls:
  authority: {lifetime: 60s, renewAfter: 8s}
  leaf: {lifetime: 20s, renewAfter: 4s}
  settle: 3s
";

/// What a client met that connected until it was told to stop.
#[derive(Default)]
struct Seen {
    handshakes: usize,
    leaves: BTreeSet<Vec<u8>>,
}

/// Connects again and again, each time trusting just what the bundle holds then, and has a review
/// decided on both versions of HTTP.
fn connect_until(injector: &Injector, end: &AtomicBool) -> Result<Seen> {
    let mut seen = Seen::default();
    while !end.load(Ordering::Relaxed) {
        let tls = trusting(&bundle(injector)?)?;
        let again = || format!("handshake {} of a client", seen.handshakes + 1);
        let mut http1 = Http1::connect(injector.webhook(), &tls).with_context(again)?;
        ensure!(http1.post("/mutate", V1)?.status == 200);
        seen.leaves.insert(http1.certificates()[0].to_vec());
        let mut http2 = Http2::connect(injector.webhook(), &tls).with_context(again)?;
        ensure!(http2.post("/mutate", V1)?.status == 200);
        seen.handshakes += 2;
    }
    Ok(seen)
}

fn bundle(injector: &Injector) -> Result<Vec<u8>> {
    Ok(fs::read(tls_folder(injector.folder()).join("ca.crt"))?)
}

#[test]
fn r06_leaf_and_ca_are_replaced_and_no_handshake_fails() -> Result<()> {
    let injector = Arc::new(Injector::start(SECONDS)?);
    let first = Certificate::all_from_pem(&bundle(&injector)?, "ca.crt")?.remove(0);
    let mut open = injector.http1()?;
    assert_eq!(open.post("/mutate", V1)?.status, 200);
    let end = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (injector, end) = (Arc::clone(&injector), Arc::clone(&end));
            thread::spawn(move || connect_until(&injector, &end))
        })
        .collect();

    let gone = injector.server().wait_until("without the first CA", 2 * PATIENCE, || {
        let failed = clients.iter().any(thread::JoinHandle::is_finished);
        let bundle = bundle(&injector).ok();
        let now = bundle.and_then(|pem| Certificate::all_from_pem(&pem, "ca.crt").ok());
        failed || now.is_some_and(|now| !now.contains(&first))
    });
    end.store(true, Ordering::Relaxed);
    let mut leaves = BTreeSet::new();
    for client in clients {
        let seen = client.join().expect("a client ends")?;
        ensure!(seen.handshakes > 0);
        leaves.extend(seen.leaves);
    }
    gone?;
    // One renewed by the first CA at least, and one of the second.
    ensure!(leaves.len() >= 3, "{} leaves", leaves.len());
    assert_eq!(open.post("/mutate", V1)?.status, 200, "the oldest connection lives on");
    Ok(())
}
