//! Connections to endpoints.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::body::Playing;
use super::dial::connect_to_any;
use super::refusal::Refusal;
use crate::listener::Side;
use crate::metrics::{Counters, Part};
use crate::plan::{Address, Endpoint, EndpointId, Route, Unusable};
use crate::settings::HeaderCase;
use crate::tls::{self, Client};
use crate::worker::{Notes, Socket, Stream, Worker};

/// The most that is read ahead of an endpoint.
const READ_BUFFER: usize = 64 << 10;

/// An HTTP/1.1 connection to an endpoint. It has no task: whoever has it polls it.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(crate) sender: http1::SendRequest<Playing>,
    pub(crate) driver: Driver,
    pub(crate) notes: Rc<Notes>,
    /// Whether it has served before.
    pub(crate) reused: bool,
}

/// What reads and writes. In a box, as it is large and moves into the pool and out of it.
#[derive(Debug)]
pub(crate) struct Driver {
    connection: Box<http1::Connection<TokioIo<Stream>, Playing>>,
    ended: bool,
}

impl Driver {
    /// Moves the connection on. An error of it shows in the request or response that it carries.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.ended = self.ended || Pin::new(&mut self.connection).poll(cx).is_ready();
    }
}

impl Http1 {
    /// Whether it could take a request, as far as is known.
    pub(crate) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.driver.drive(cx);
        !self.driver.ended && self.sender.is_ready()
    }

    /// The stream once HTTP has ended on it. `None`: it has not.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        self.driver.ended.then(|| {
            let parts = self.driver.connection.into_parts();
            let mut stream = parts.io.into_inner();
            stream.unread(&parts.read_buf);
            stream
        })
    }
}

/// For whom a connection is counted, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) side: Side,
    pub(crate) route: &'a Route,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    endpoint: Arc<Endpoint>,
    counters: Arc<Counters>,
    side: Side,
    worker: usize,
}

impl Counted {
    fn new(account: Account<'_>, endpoint: &Arc<Endpoint>, took: Duration) -> Self {
        let counted = Self {
            endpoint: Arc::clone(endpoint),
            counters: Arc::clone(&account.route.state.counters),
            side: account.side,
            worker: account.worker.index,
        };
        counted.endpoint.connections.fetch_add(1, Ordering::Relaxed);
        counted.part().connects.add(took);
        counted
    }

    fn part(&self) -> &Part {
        self.counters.part(self.side, self.worker)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.endpoint.connections.fetch_sub(1, Ordering::Relaxed);
        self.part().disconnects.one();
    }
}

/// Connects to an endpoint.
pub(crate) async fn connect(
    account: Account<'_>,
    endpoint: &Arc<Endpoint>,
) -> Result<(Stream, Rc<Notes>), Refusal> {
    let clock = account.worker.shared.clock;
    let began = clock.now();
    let (stream, notes) = establish(account, endpoint).await?;
    let took = clock.now().saturating_sub(began);
    let _ = notes.counted.set(Box::new(Counted::new(account, endpoint, took)));
    Ok((stream, notes))
}

async fn establish(
    account: Account<'_>,
    endpoint: &Endpoint,
) -> Result<(Stream, Rc<Notes>), Refusal> {
    let worker = account.worker;
    let shared = &worker.shared;
    let tls = session_of(worker, endpoint)?;
    let limit = account.route.terms.connect;
    let limit = limit.unwrap_or(shared.settings().limits.connect_timeout);
    let tcp = reach(worker, endpoint, limit).await?;
    let notes = Rc::new(Notes::default());
    let Some(client) = tls else { return Ok((Stream::new(tcp, &notes), notes)) };
    let socket = Socket::new(tcp, &notes);
    match secure(worker, endpoint, &client, socket, &notes).await {
        Ok(stream) => {
            endpoint.eviction.succeeded();
            Ok((stream, notes))
        }
        Err(refusal) => {
            let now = shared.clock.now();
            shared.plans.registry().evict(endpoint, Unusable::Tls, now);
            Err(refusal)
        }
    }
}

/// Connects, and no more.
pub(crate) async fn reach(
    worker: &Worker,
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<TcpStream, Refusal> {
    let shared = &worker.shared;
    let failed = match timeout(limit, open(&endpoint.id.entrance())).await {
        // A name may be one of ours.
        Ok(Ok(tcp)) if endpoint.id.instance.is_none() && shared.has_come_home(&tcp) => {
            return Err(Refusal::Loop);
        }
        Ok(Ok(tcp)) => {
            // What wants TLS has yet to show that it can be used.
            if !endpoint.id.tls {
                endpoint.eviction.succeeded();
            }
            return Ok(tcp);
        }
        Ok(Err(error)) if is_our_own(&error) => {
            // What idles here holds what is missing.
            worker.pool.clear();
            worker.http2.clear();
            return Err(Refusal::Overload);
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, endpoint = ?endpoint.id.address, "cannot connect");
            Refusal::ConnectRefused
        }
        Err(_) => Refusal::ConnectTimeout,
    };
    shared.plans.registry().evict(endpoint, Unusable::Connect, shared.clock.now());
    Err(failed)
}

async fn open(address: &Address) -> io::Result<TcpStream> {
    let tcp = match address {
        Address::Known(address) => TcpStream::connect(address).await?,
        Address::Name(name, port) => {
            connect_to_any(lookup_host((&**name, *port)).await?.collect()).await?
        }
    };
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// No file descriptor, port or memory is left: the endpoint has no part in it.
fn is_our_own(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| ours.contains(&Errno::from_raw(code)))
}

/// How its TLS is made; `None`: it speaks none. Where it asks for TLS and nobody said how,
/// plain text would show to everybody on the way what was to be kept from them.
fn session_of(worker: &Worker, endpoint: &Endpoint) -> Result<Option<Client>, Refusal> {
    let EndpointId { instance, protocol, tls, address, .. } = &endpoint.id;
    if !tls {
        return Ok(None);
    }
    let ours = &worker.shared.tls;
    let client = match (instance, address) {
        (Some((service, _)), _) => ours.client(&service.name, *protocol),
        (None, Address::Name(host, _)) => ours.outside(host, *protocol),
        (None, Address::Known(at)) => ours.outside(&at.ip().to_string(), *protocol),
    };
    client.map(Some).ok_or(Refusal::TlsNotSetUp)
}

async fn secure(
    worker: &Worker,
    endpoint: &Endpoint,
    client: &Client,
    socket: Socket,
    notes: &Rc<Notes>,
) -> Result<Stream, Refusal> {
    let shared = &worker.shared;
    let limit = shared.settings().limits.handshake_timeout;
    let made = tls::connect(client, socket, limit).await;
    shared.tls.connected(made.as_ref().err());
    made.map(|session| Stream::secured(session, notes)).map_err(|reason| {
        let address = &endpoint.id.address;
        if shared.tls.may_say() {
            tracing::warn!(?address, %reason, "no TLS session with an instance");
        } else {
            tracing::debug!(?address, %reason, "no TLS session with an instance");
        }
        Refusal::TlsFailed
    })
}

/// Makes a connection that was just made one for requests.
pub(crate) async fn adopt(tcp: TcpStream, case: HeaderCase) -> Result<Http1, Refusal> {
    let notes = Rc::new(Notes::default());
    speak(Stream::new(tcp, &notes), notes, case).await
}

/// Begins to speak HTTP/1.1.
pub(crate) async fn speak(
    stream: Stream,
    notes: Rc<Notes>,
    case: HeaderCase,
) -> Result<Http1, Refusal> {
    let stream = TokioIo::new(stream);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BUFFER).title_case_headers(case == HeaderCase::Title);
    // Nothing is exchanged for it, so nothing can fail.
    let (sender, driver) = builder.handshake(stream).await.map_err(|_| Refusal::Reset)?;
    Ok(Http1 {
        sender,
        driver: Driver { connection: Box::new(driver), ended: false },
        notes,
        reused: false,
    })
}
