//! Taking connections, and giving each to the worker that has the fewest.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Port;
use crate::lifecycle::Phase;
use crate::shared::Shared;
use crate::worker::{Message, Remote};

/// How long to wait when there is no file descriptor, or no place, left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Takes connections until the proxy closes; then those that wait in the queue, and no more.
pub(crate) async fn accept(
    listener: TcpListener,
    port: Port,
    workers: Arc<[Remote]>,
    shared: Arc<Shared>,
) {
    let port = Arc::new(port);
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, address = %port.address, "cannot accept"),
    };
    let mut closing = std::pin::pin!(shared.lifecycle.reached(Phase::Closing));
    let mut exhausted = false;
    loop {
        let room = open(&workers) < shared.settings().limits.connections;
        let next = async {
            if !room {
                return Err(full());
            }
            let (tcp, client) = listener.accept().await?;
            Ok((tcp.into_std()?, client))
        };
        let taken = tokio::select! {
            biased;
            () = &mut closing => break,
            taken = next => taken,
        };
        match taken {
            Ok((tcp, client)) => {
                exhausted = false;
                give(tcp, client, &port, &workers);
            }
            // The peer gave up before its turn: nothing of ours.
            Err(error) if is_about_the_peer(&error) => {}
            Err(error) => {
                if !exhausted {
                    tracing::warn!(%error, "no connection can be taken at the moment");
                    exhausted = true;
                }
                // Idle connections hold what is missing; the next caller waits in the queue.
                for worker in &*workers {
                    worker.send(Message::MakeRoom);
                }
                sleep(EXHAUSTED).await;
            }
        }
    }
    // Who waits in the queue has been told by the system that we took the connection.
    if let Ok(listener) = listener.into_std() {
        while let Ok((tcp, client)) = listener.accept() {
            if tcp.set_nonblocking(true).is_ok() {
                give(tcp, client, &port, &workers);
            }
        }
    }
}

fn full() -> io::Error {
    io::Error::other("as many connections as allowed are open")
}

fn give(tcp: TcpStream, client: SocketAddr, port: &Arc<Port>, workers: &[Remote]) {
    // Answers are written at once; waiting for more to send only delays them.
    let _ = tcp.set_nodelay(true);
    if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
        worker.accept(tcp, client, port);
    }
}

fn open(workers: &[Remote]) -> usize {
    workers.iter().map(Remote::load).sum()
}

/// Failures of `accept` that concern one connection only.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
