//! Applications that speak HTTP/2, frame by frame where a test needs it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use hyper::{HeaderMap, Request, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A server on a free port of 127.0.0.1; it ends with the test's runtime.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    goodbye: Arc<Notify>,
    abort: Arc<Notify>,
}

/// One request, and the way back.
pub(crate) struct Call {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
    /// Counted over all connections, from 0.
    pub(crate) number: usize,
    /// The connection it came by, counted from 0.
    pub(crate) connection: usize,
}

impl App {
    /// Does `serve` with each request.
    pub(crate) async fn each<F, S>(serve: F) -> Self
    where
        F: Fn(Call) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::with(server::Builder::new(), serve).await
    }

    /// The same with settings of its own.
    pub(crate) async fn with<F, S>(builder: server::Builder, serve: F) -> Self
    where
        F: Fn(Call) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let app = Self {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            most: Arc::default(),
            goodbye: Arc::default(),
            abort: Arc::default(),
        };
        let (connections, most) = (Arc::clone(&app.connections), Arc::clone(&app.most));
        let (goodbye, abort) = (Arc::clone(&app.goodbye), Arc::clone(&app.abort));
        tokio::spawn(async move {
            let numbers = Arc::new(AtomicUsize::new(0));
            loop {
                let (tcp, _) = listener.accept().await.expect("a connection");
                tcp.set_nodelay(true).expect("an option");
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (builder, serve) = (builder.clone(), serve.clone());
                let (numbers, most) = (Arc::clone(&numbers), Arc::clone(&most));
                let (goodbye, abort) = (Arc::clone(&goodbye), Arc::clone(&abort));
                tokio::spawn(async move {
                    let mut http = builder.handshake(tcp).await.expect("a preface");
                    let under_way = Arc::new(AtomicUsize::new(0));
                    loop {
                        let accepted = tokio::select! {
                            accepted = http.accept() => accepted,
                            () = goodbye.notified() => {
                                http.graceful_shutdown();
                                continue;
                            }
                            () = abort.notified() => return,
                        };
                        let Some(Ok((request, respond))) = accepted else { return };
                        let number = numbers.fetch_add(1, Ordering::SeqCst);
                        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        let call = Call { request, respond, number, connection };
                        let (serving, under_way) = (serve(call), Arc::clone(&under_way));
                        tokio::spawn(async move {
                            serving.await;
                            under_way.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        app
    }

    /// A gRPC server that answers every call with what it was sent, and status 0.
    pub(crate) async fn echo() -> Self {
        Self::each(|call| async move {
            let mut echoing = call.begin();
            while let Some(data) = echoing.next().await {
                echoing.say(data).await;
            }
            echoing.end("0");
        })
        .await
    }

    /// How many connections it took.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests one connection carried at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Says GOAWAY on one connection.
    pub(crate) fn say_goodbye(&self) {
        self.goodbye.notify_one();
    }

    /// Ends one connection without a word.
    pub(crate) fn abort(&self) {
        self.abort.notify_one();
    }
}

/// A call that is being answered.
pub(crate) struct Answering {
    body: RecvStream,
    stream: SendStream<Bytes>,
}

impl Call {
    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.request.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Sends the head of a response.
    pub(crate) fn begin(mut self) -> Answering {
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.body(()).expect("a head");
        let stream = self.respond.send_response(head, false).expect("the stream is open");
        Answering { body: self.request.into_body(), stream }
    }

    /// Answers with a status alone.
    pub(crate) fn only(mut self, status: &str) {
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", status)
            .body(());
        let _ = self.respond.send_response(head.expect("a head"), true);
    }

    /// Resets the stream.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits until the stream is reset.
    pub(crate) async fn is_reset(&mut self) -> Option<Reason> {
        poll_fn(|cx| self.respond.poll_reset(cx)).await.ok()
    }
}

impl Answering {
    /// The next piece of the request's body; `None`: it has ended, or broken off.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let data = self.body.data().await?.ok()?;
        let _ = self.body.flow_control().release_capacity(data.len());
        Some(data)
    }

    /// Sends data as the windows allow.
    pub(crate) async fn say(&mut self, data: impl Into<Bytes>) {
        let mut data: Bytes = data.into();
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len());
            let Some(Ok(room)) = poll_fn(|cx| self.stream.poll_capacity(cx)).await else { return };
            let chunk = data.split_to(room.min(data.len()));
            if self.stream.send_data(chunk, false).is_err() {
                return;
            }
        }
    }

    /// Sends trailers with a status.
    pub(crate) fn end(mut self, status: &str) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().expect("a value"));
        let _ = self.stream.send_trailers(trailers);
    }

    pub(crate) fn reset(mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Waits until the stream is reset.
    pub(crate) async fn is_reset(&mut self) -> Option<Reason> {
        poll_fn(|cx| self.stream.poll_reset(cx)).await.ok()
    }
}
