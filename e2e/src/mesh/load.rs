//! Requests without a pause while a scenario breaks things.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Result, ensure};
use hyper::body::Bytes;
use tokio::task::JoinSet;

use super::requests::{Client, body_bytes};
use super::{LOOK, eventually};

/// The longest body that is posted.
const LONGEST: u64 = 64 << 10;

/// Clients that call a service over and over: GET and POST in turn, with bodies of up to 64 KiB.
#[derive(Debug)]
pub struct Load {
    state: Arc<State>,
    clients: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    answered: AtomicU64,
    failed: std::sync::Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Tally {
    /// How many requests were answered as they should be.
    pub answered: u64,
    /// What happened to the others.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `clients` clients of the proxy at `consumer`, each with a kept connection.
    pub fn start(consumer: SocketAddr, url: &str, clients: u64) -> Self {
        let state = Arc::new(State::default());
        let mut set = JoinSet::new();
        for client in 0..clients {
            let (state, url) = (Arc::clone(&state), url.to_owned());
            set.spawn(async move {
                let mut connection = Client::new(consumer);
                let mut number = client;
                while !state.stop.load(Ordering::Relaxed) {
                    match one(&mut connection, &url, number).await {
                        Ok(()) => drop(state.answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            let text = format!("request {number}: {error:#}");
                            state.failed.lock().expect("nobody panics with it").push(text);
                            tokio::time::sleep(LOOK).await;
                        }
                    }
                    number += clients;
                }
            });
        }
        Self { state, clients: set }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more were answered.
    pub async fn more(&self, count: u64) -> Result<()> {
        let goal = self.answered() + count;
        eventually(&format!("{goal} answers"), async || {
            let answered = self.answered();
            Ok(if answered >= goal { Ok(()) } else { Err(answered.to_string()) })
        })
        .await
    }

    /// Stops when what is under way is answered.
    pub async fn finish(mut self) -> Tally {
        self.state.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let mut failures = self.state.failed.lock().expect("nobody panics with it");
        Tally { answered: self.answered(), failures: std::mem::take(&mut failures) }
    }
}

async fn one(connection: &mut Client, url: &str, number: u64) -> Result<()> {
    let post = number % 2 == 1;
    // Every length there is, sooner or later; a prime spreads them.
    let length = if post { number * 7919 % LONGEST + 1 } else { 0 };
    let body = Bytes::from(vec![b'x'; usize::try_from(length)?]);
    let method = if post { "POST" } else { "GET" };
    let reply = connection.send(method, url, &[], body).await?;
    ensure!(reply.status == 200, "{method} was answered with {}: {}", reply.status, reply.text());
    let received = body_bytes(&reply)?;
    ensure!(received == length, "{received} of {length} bytes arrived");
    Ok(())
}
