//! The threads that carry traffic. Each has an event loop, connections and pools of its own and
//! shares nothing with the others but what is immutable or atomic; a connection stays where it
//! was first put, and a request never leaves the task of its connection.

mod census;
mod connections;
mod pool;
mod quota;
mod socket;
mod stream;

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

pub(crate) use self::census::{Census, Counts};
use self::connections::Connections;
pub(crate) use self::connections::{Connection, InFlight, Order, Way};
pub(crate) use self::pool::Pool;
pub(crate) use self::quota::workers;
pub(crate) use self::socket::Socket;
pub(crate) use self::stream::{Notes, Stream};
use crate::access_log::Sheets;
use crate::lifecycle::Phase;
use crate::listener::Port;
use crate::metrics;
use crate::shared::Shared;
use crate::spans::Outbox;
use crate::traffic;

/// TLS sessions that are being made at once; each takes memory, and a millisecond of the thread.
const HANDSHAKES: usize = 256;
/// How often connections and pools are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// What the thread's tasks share.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Which one it is, from 0: its place wherever each worker has one.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    /// Connections to endpoints that many requests share.
    pub(crate) http2: traffic::SharedConnections,
    /// Copies of requests that are under way.
    pub(crate) mirrored: Cell<usize>,
    /// Time, as of the last sweep: good enough for what is measured in seconds.
    pub(crate) coarse_now: Cell<Duration>,
    /// What requests are taken down on that may be logged.
    pub(crate) sheets: Sheets,
    pub(crate) ports: traffic::Ports,
    /// Who makes a TLS session waits for a turn.
    pub(crate) handshakes: Semaphore,
    /// Spans that have ended.
    pub(crate) spans: Outbox,
    connections: Connections,
    census: Arc<Census>,
}

/// What a worker is sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// A connection to serve.
    Accepted(std::net::TcpStream, SocketAddr, Arc<Port>),
    /// File descriptors or places have run out: end what is idle.
    MakeRoom,
    /// No more connections come: finish.
    Finish,
}

/// A worker, as the rest of the program sees it.
#[derive(Debug)]
pub(crate) struct Remote {
    messages: UnboundedSender<Message>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
    census: Arc<Census>,
}

impl Remote {
    /// Starts a thread. It ends when it has finished, at the latest at the drain's deadline.
    pub(crate) fn start(
        index: usize,
        shared: Arc<Shared>,
    ) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (messages, inbox) = unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&load);
        let census = Arc::<Census>::default();
        let written = Arc::clone(&census);
        // Made here, so that a failure is told; moved to the thread by what it was made of.
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = match builder.build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            let now = Cell::new(shared.clock.now());
            let spans = Outbox::new(&shared.spans);
            let worker = Worker {
                index,
                shared,
                pool: Pool::default(),
                http2: traffic::SharedConnections::default(),
                mirrored: Cell::new(0),
                coarse_now: now,
                sheets: Sheets::new(seed(index)),
                ports: traffic::Ports::default(),
                handshakes: Semaphore::new(HANDSHAKES),
                spans,
                connections: Connections::default(),
                census: written,
            };
            runtime.block_on(Rc::new(worker).run(inbox, counted));
        })?;
        started.recv().map_err(|_| io::Error::other("the thread ended at once"))??;
        Ok((Self { messages, load, census }, thread))
    }

    /// Hands a connection over.
    pub(crate) fn accept(&self, tcp: std::net::TcpStream, client: SocketAddr, port: &Arc<Port>) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Accepted(tcp, client, Arc::clone(port)));
    }

    /// Its open connections.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// What it has open.
    pub(crate) fn census(&self) -> &Arc<Census> {
        &self.census
    }

    pub(crate) fn send(&self, message: Message) {
        // A worker that ended needs no messages.
        let _ = self.messages.send(message);
    }
}

/// Another number for each worker, and each time.
fn seed(index: usize) -> u64 {
    RandomState::new().hash_one(index)
}

impl Worker {
    async fn run(self: Rc<Self>, mut inbox: UnboundedReceiver<Message>, load: Arc<AtomicUsize>) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                message = inbox.recv() => message,
                _ = sweep.tick() => {
                    self.sweep().await;
                    continue;
                }
            };
            match message {
                Some(Message::Accepted(tcp, client, port)) => self.serve(tcp, client, port, &load),
                Some(Message::MakeRoom) => {
                    self.pool.clear();
                    self.http2.clear();
                    self.connections.make_room();
                }
                Some(Message::Finish) | None => break,
            }
        }
        self.finish().await;
    }

    fn serve(
        self: &Rc<Self>,
        tcp: std::net::TcpStream,
        client: SocketAddr,
        port: Arc<Port>,
        load: &Arc<AtomicUsize>,
    ) {
        let worker = Rc::clone(self);
        let load = Arc::clone(load);
        let (id, connection) = self.connections.add(client, self.shared.clock.now());
        self.counts().opens(&port);
        tokio::task::spawn_local(async move {
            let notes = Rc::clone(&connection.notes);
            // A socket that the event loop does not take is closed, and its client told thus.
            if let Ok(tcp) = TcpStream::from_std(tcp) {
                traffic::serve(&worker, &port, connection, tcp).await;
            }
            worker.connections.remove(id);
            worker.counts().closes(&port);
            worker.counts().carry(notes.carried.take());
            load.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn sweep(&self) {
        let now = self.shared.clock.now();
        self.coarse_now.set(now);
        self.spans.empty();
        let limits = self.shared.settings().limits;
        let mut counts = self.connections.sweep(now, &limits);
        self.counts().carry(self.connections.carried());
        std::future::poll_fn(|cx| {
            counts.idle_upstream = self.pool.sweep(now, limits.idle_timeout, cx);
            let shared = self.http2.sweep(now, limits.idle_timeout, cx);
            (counts.shared_upstream, counts.shared_streams) = shared;
            std::task::Poll::Ready(())
        })
        .await;
        self.census.write(counts);
    }

    /// Answers what is in flight, and ends at the deadline whatever is left.
    async fn finish(&self) {
        let deadline = Instant::now() + self.shared.settings().limits.drain_timeout;
        self.connections.finish();
        let mut look = interval(Duration::from_millis(10));
        let emptied = async {
            while !self.connections.is_empty() {
                look.tick().await;
            }
        };
        if timeout_at(deadline, emptied).await.is_err() {
            tracing::warn!("connections were still in use at the end of the drain: closing them");
            self.connections.close();
            tokio::task::yield_now().await;
        }
    }

    /// What it counts of its connections.
    fn counts(&self) -> &metrics::Connections {
        &self.shared.connections[self.index]
    }

    /// Whether responses tell their clients to take another connection.
    pub(crate) fn is_leaving(&self) -> bool {
        self.shared.lifecycle.phase() >= Phase::Draining
    }
}
