//! One address in front of several replicas, as a Service is: connections go to whoever is ready.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// How often each replica is asked whether it is ready. A kubelet asks every two seconds.
const PROBE: Duration = Duration::from_millis(200);

/// Forwards connections to ready replicas in turn. It looks at nothing that passes, and ends with
/// this value.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    endpoints: Endpoints,
    _runtime: Runtime,
}

#[derive(Debug, Clone, Default)]
struct Endpoints(Arc<Mutex<Vec<Endpoint>>>);

#[derive(Debug, Clone)]
struct Endpoint {
    webhook: SocketAddr,
    operations: SocketAddr,
    ready: bool,
    /// One more than its open connections.
    open: Arc<()>,
}

impl Service {
    /// Listens on a free port of the loopback interface.
    pub fn start() -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let endpoints = Endpoints::default();
        runtime.spawn(endpoints.clone().forward(listener));
        runtime.spawn(endpoints.clone().probe());
        Ok(Self { address, endpoints, _runtime: runtime })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends connections to `webhook` too, while `operations` says that it is ready.
    pub fn add(&self, webhook: SocketAddr, operations: SocketAddr) {
        self.endpoints.all().push(Endpoint {
            webhook,
            operations,
            ready: false,
            open: Arc::new(()),
        });
    }

    /// Who still has connections.
    pub fn connected(&self) -> BTreeSet<SocketAddr> {
        let all = self.endpoints.all();
        let open = all.iter().filter(|each| Arc::strong_count(&each.open) > 1);
        open.map(|each| each.webhook).collect()
    }

    /// Who gets connections.
    pub fn ready(&self) -> BTreeSet<SocketAddr> {
        self.endpoints.all().iter().filter(|each| each.ready).map(|each| each.webhook).collect()
    }
}

impl Endpoints {
    fn all(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(self, listener: TcpListener) {
        let mut turn = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            let ready = |each: &&Endpoint| each.ready;
            let ready: Vec<_> =
                self.all().iter().filter(ready).map(|e| (e.webhook, Arc::clone(&e.open))).collect();
            // Without an endpoint a Service refuses, as does one whose replica has just died.
            let Some((chosen, open)) = ready.get(turn % ready.len().max(1)).cloned() else {
                continue;
            };
            turn += 1;
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(chosen).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
                drop((client, open));
            });
        }
    }

    async fn probe(self) {
        loop {
            let all: Vec<_> =
                self.all().iter().map(|each| (each.webhook, each.operations)).collect();
            for (webhook, operations) in all {
                let ready = timeout(PROBE * 10, is_ready(operations)).await.unwrap_or(false);
                let mut all = self.all();
                for same in all.iter_mut().filter(|each| each.webhook == webhook) {
                    same.ready = ready;
                }
            }
            sleep(PROBE).await;
        }
    }
}

/// Whether `/readyz` at `operations` says yes.
async fn is_ready(operations: SocketAddr) -> bool {
    let ask = async {
        let mut tcp = TcpStream::connect(operations).await?;
        tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n")
            .await?;
        let mut status = [0; 12];
        tcp.read_exact(&mut status).await?;
        std::io::Result::Ok(status == *b"HTTP/1.1 200")
    };
    ask.await.unwrap_or(false)
}
