//! What the tests stand on: proxies, services, clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use discovery::{Fixed, Source};
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::Proxy;
use sidecar::settings::{ServicePort, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Settings of a proxy on free ports of this host.
pub(crate) fn settings(service: &str) -> Settings {
    let mut settings = Settings::default();
    service.clone_into(&mut settings.identity.service);
    settings.listeners.http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.listeners.grpc = None;
    settings.listeners.admin_port = 0;
    settings.workers = std::num::NonZeroUsize::new(1);
    settings
}

/// Settings of a proxy that stands before an application on `port`, with a provider side.
pub(crate) fn provider_settings(service: &str, port: u16) -> Settings {
    let mut settings = settings(service);
    settings.listeners.addresses = vec![IpAddr::from([127, 0, 0, 2])];
    let rest = ServicePort { protocol: Protocol::Rest, name: "rest".to_owned(), port };
    settings.local.service = vec![rest];
    settings
}

/// A service of application `default` with an instance at each address.
pub(crate) fn service(name: &str, addresses: &[SocketAddr]) -> Service {
    service_of(Protocol::Rest, name, addresses)
}

/// The same, of instances that speak `protocol`.
pub(crate) fn service_of(protocol: Protocol, name: &str, addresses: &[SocketAddr]) -> Service {
    let instances = addresses.iter().map(|address| Instance {
        id: InstanceId(address.to_string().into()),
        version: "1.0.0".parse().expect("a version"),
        status: Status::Up,
        endpoints: vec![Endpoint { protocol, address: *address, tls: false, service_port: None }],
        tags: Tags::new(),
    });
    Service::new(ServiceKey::new("default", name), instances)
}

/// A proxy that knows `services`, and its consumer side's address.
pub(crate) fn consumer(services: impl IntoIterator<Item = Service>) -> (Proxy, SocketAddr) {
    start(settings("ServiceA"), Arc::new(Fixed::new(services)))
}

/// A proxy, and its consumer side's address.
pub(crate) fn start(settings: Settings, source: Arc<dyn Source>) -> (Proxy, SocketAddr) {
    let proxy = Proxy::start(settings, source).expect("the proxy starts");
    let address = proxy.addresses().consumer.expect("it has a consumer side");
    (proxy, address)
}

/// A port where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// A proxy before an application on `port`, and one that knows it as `ServiceB`; with the consumer
/// side's address.
pub(crate) fn mesh_of_two(port: u16) -> (Proxy, Proxy, SocketAddr) {
    let settings = provider_settings("ServiceB", port);
    let provider = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let services = [service("ServiceB", &[provider.addresses().provider[0]])];
    let (consumer, address) = consumer(services);
    (provider, consumer, address)
}

/// A client that writes bytes and reads responses.
pub(crate) struct Client<S = TcpStream> {
    tcp: S,
    read: Vec<u8>,
}

/// A response as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, by its name as it was written.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(written, _)| *written == name).map(|(_, value)| value)
    }

    /// The word in `x-mesher-error`.
    pub(crate) fn error(&self) -> Option<&str> {
        self.header("x-mesher-error")
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.expect("the proxy takes connections");
        tcp.set_nodelay(true).expect("an option");
        Self::over(tcp)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a connection that stands.
    pub(crate) fn over(tcp: S) -> Self {
        Self { tcp, read: Vec::new() }
    }

    /// The connection.
    pub(crate) fn stream(&self) -> &S {
        &self.tcp
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.expect("the proxy reads");
    }

    /// The connection, for who speaks something else on it.
    pub(crate) fn into_tcp(self) -> S {
        assert!(self.read.is_empty(), "what was read is not lost");
        self.tcp
    }

    /// Says that nothing more comes.
    pub(crate) async fn end(&mut self) {
        self.tcp.shutdown().await.expect("the connection is whole");
    }

    /// GET of an absolute URL, and the answer.
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.request("GET", url, "", "").await
    }

    /// A request with more header lines and a body, and the answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        url: &str,
        lines: &str,
        body: &str,
    ) -> Answer {
        let host = url.strip_prefix("http://").unwrap_or(url).split('/').next().unwrap_or(url);
        let length = match (method, body.len()) {
            ("GET" | "HEAD" | "OPTIONS", 0) => String::new(),
            (_, length) => format!("content-length: {length}\r\n"),
        };
        let head = format!("{method} {url} HTTP/1.1\r\nhost: {host}\r\n{lines}{length}\r\n");
        self.send(head + body).await;
        if method == "HEAD" { self.head().await } else { self.answer().await }
    }

    /// The next answer, with its body.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let body = if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            self.exactly(length).await
        } else if answer.header("transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else if matches!(answer.status, 204 | 304) {
            Vec::new()
        } else {
            self.rest().await
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    /// The next answer's head.
    pub(crate) async fn head(&mut self) -> Answer {
        let head = self.until(b"\r\n\r\n").await;
        let head = String::from_utf8(head).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        Answer { status, head, body: String::new() }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await;
            let line = String::from_utf8(line).expect("a chunk's size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            if size == 0 {
                while self.until(b"\r\n").await != b"\r\n" {}
                return body;
            }
            body.extend(self.exactly(size).await);
            assert_eq!(self.exactly(2).await, b"\r\n");
        }
    }

    /// Everything up to and with `end`.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            let more = self.more().await.expect("the connection is whole");
            assert!(more, "the connection ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let more = self.more().await.expect("the connection is whole");
            assert!(more, "the connection ended in a body");
        }
        self.read.drain(..count).collect()
    }

    /// Everything until the connection ends properly.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.expect("the connection ends properly") {}
        std::mem::take(&mut self.read)
    }

    /// Reads until the connection ends, however; whether it was reset.
    pub(crate) async fn is_reset(&mut self) -> bool {
        loop {
            match self.more().await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
    }

    async fn more(&mut self) -> std::io::Result<bool> {
        let read = timeout(PATIENCE, self.tcp.read_buf(&mut self.read));
        Ok(read.await.expect("the proxy answers in time")? > 0)
    }
}
