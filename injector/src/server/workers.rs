//! The threads that answer reviews. Each has an event loop of its own, and a connection stays on
//! the thread it was given to: what a request needs next is always there already, and no thread is
//! woken to look for work. What else the server does, such as trying a changed template, runs on
//! the main thread and holds no review up.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One thread answers thousands of reviews a second, which is more than clusters have; a second one
/// is for bursts.
const MOST: usize = 2;

/// What becomes of a connection, from its socket to its end.
type Life = Box<dyn FnOnce(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

enum Message {
    Serve(std::net::TcpStream, Life),
    /// Cut what is still open, and end.
    Stop,
}

/// All of them. Their threads end with [`Self::stop`].
#[derive(Debug)]
pub(super) struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    messages: UnboundedSender<Message>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// One for every second processor, from one to [`MOST`]: whoever asks has work to do meanwhile,
    /// and where he does it on the same machine, threads that wait for each other's processor are
    /// what makes an answer late.
    pub(super) fn start() -> io::Result<Self> {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let count = (processors / 2).clamp(1, MOST);
        (1..=count).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// Gives `tcp` to the worker that has the fewest connections, which lets it `live` there.
    pub(super) fn serve<F>(
        &self,
        tcp: TcpStream,
        live: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let least = self.0.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        // A socket that no event loop gives back is closed, and its peer told thus.
        if let (Some(worker), Ok(tcp)) = (least, tcp.into_std()) {
            worker.load.fetch_add(1, Ordering::Relaxed);
            worker.send(Message::Serve(tcp, Box::new(move |tcp| Box::pin(live(tcp)))));
        }
    }

    /// Ends the threads, and with them what is still open.
    pub(super) fn stop(&self) {
        self.0.iter().for_each(|worker| worker.send(Message::Stop));
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let (messages, inbox) = unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&load);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || work(&runtime, inbox, &counted))?;
        Ok(Self { messages, load })
    }

    fn send(&self, message: Message) {
        // A worker that was stopped needs no messages.
        let _ = self.messages.send(message);
    }
}

fn work(runtime: &Runtime, mut inbox: UnboundedReceiver<Message>, load: &Arc<AtomicUsize>) {
    runtime.block_on(async {
        while let Some(Message::Serve(tcp, live)) = inbox.recv().await {
            let place = Place(Arc::clone(load));
            if let Ok(tcp) = TcpStream::from_std(tcp) {
                let connection = live(tcp);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        }
    });
}

/// A connection's share of a worker's load; dropped, it is taken off.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn connections_are_shared_out_evenly_and_places_come_back() {
        let workers = Workers(vec![Worker::start(1).unwrap(), Worker::start(2).unwrap()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        for _ in 0..3 {
            let mut clients = Vec::new();
            for _ in 0..4 {
                clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
                let tell = tell.clone();
                workers.serve(listener.accept().await.unwrap().0, |tcp| async move {
                    let _ = tell.send(thread::current().id());
                    // Its peer goes.
                    let _ = tcp.readable().await;
                });
            }
            let mut by_thread = HashMap::new();
            for _ in 0..4 {
                *by_thread.entry(told.recv().await.unwrap()).or_insert(0) += 1;
            }
            assert_eq!(by_thread.into_values().collect::<Vec<_>>(), [2, 2]);
            drop(clients);
            while workers.0.iter().any(|worker| worker.load.load(Ordering::Relaxed) > 0) {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_fault_in_one_connection_gives_its_place_back_and_leaves_the_thread() {
        let workers = Workers(vec![Worker::start(1).unwrap()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        for faulty in [true, false] {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let tell = tell.clone();
            workers.serve(listener.accept().await.unwrap().0, move |_| async move {
                assert!(!faulty, "on purpose");
                let _ = tell.send(());
            });
        }
        assert_eq!(told.recv().await, Some(()));
        while workers.0[0].load.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        workers.stop();
    }
}
