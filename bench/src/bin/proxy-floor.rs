//! The least an HTTP/1.1 proxy of this kind can do: hyper's own state machines, the connection to
//! the backend polled in the task of the client's, a pool for each thread. No names, no limits, no
//! metrics, no errors worth the word. What `mesher` costs above it is what its features cost.
//!
//! `proxy-floor PORT BACKEND...`

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::env;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{CONNECTION, PROXY_AUTHORIZATION};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder as Runtime, LocalOptions};

struct Backend {
    sender: SendRequest<Incoming>,
    driver: Box<Connection<TokioIo<TcpStream>, Incoming>>,
    address: SocketAddr,
}

/// What all connections share, on the one thread there is.
struct Proxy {
    backends: Vec<SocketAddr>,
    turn: Cell<usize>,
    idle: RefCell<HashMap<SocketAddr, Vec<Backend>>>,
}

impl Proxy {
    async fn checkout(&self) -> Result<Backend> {
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let address = self.backends[turn % self.backends.len()];
        loop {
            let idle = self.idle.borrow_mut().get_mut(&address).and_then(Vec::pop);
            let Some(mut backend) = idle else { break };
            let dead = |cx: &mut Context<'_>| Pin::new(&mut backend.driver).poll(cx).is_ready();
            let mut dead = dead;
            if !poll_fn(|cx| Poll::Ready(dead(cx))).await && backend.sender.is_ready() {
                return Ok(backend);
            }
        }
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(tcp)).await?;
        Ok(Backend { sender, driver: Box::new(driver), address })
    }

    async fn forward(self: Rc<Self>, mut request: Request<Incoming>) -> Result<Response<Pump>> {
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(path);
        }
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().remove(PROXY_AUTHORIZATION);
        let mut backend = self.checkout().await?;
        let mut sent = pin!(backend.sender.try_send_request(request));
        let driver = &mut backend.driver;
        let answered = poll_fn(|cx| {
            let _ = Pin::new(&mut **driver).poll(cx);
            sent.as_mut().poll(cx)
        });
        let response = answered.await.map_err(TrySendError::into_error)?;
        let (head, incoming) = response.into_parts();
        let mut pump = Pump { incoming, backend: Some(backend), proxy: self };
        if pump.incoming.is_end_stream() {
            pump.finish();
        }
        Ok(Response::from_parts(head, pump))
    }
}

/// A response's body, with the connection that brings it.
struct Pump {
    incoming: Incoming,
    backend: Option<Backend>,
    proxy: Rc<Proxy>,
}

impl Pump {
    fn finish(&mut self) {
        if let Some(backend) = self.backend.take().filter(|backend| backend.sender.is_ready()) {
            self.proxy.idle.borrow_mut().entry(backend.address).or_default().push(backend);
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(backend) = &mut self.backend {
            let _ = Pin::new(&mut backend.driver).poll(cx);
        }
    }
}

impl Body for Pump {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.drive(cx);
        let polled = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if polled.is_none() || self.incoming.is_end_stream() {
            self.drive(cx);
            self.finish();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().context("usage: proxy-floor PORT BACKEND...")?.parse()?;
    let backends = arguments.map(|address| address.parse()).collect::<Result<_, _>>()?;
    let proxy = Rc::new(Proxy { backends, turn: Cell::new(0), idle: RefCell::default() });
    let runtime = Runtime::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let proxy = Rc::clone(&proxy);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| Rc::clone(&proxy).forward(request));
                let mut builder = Builder::new();
                builder.header_read_timeout(None);
                let _ = builder.serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    })
}
