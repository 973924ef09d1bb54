//! A client of HTTP/2, frame by frame where a test needs it.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::http::request;
use hyper::{HeaderMap, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::world::PATIENCE;

/// One connection, or a handle of it.
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    connection: Option<JoinHandle<Result<(), h2::Error>>>,
}

impl Clone for Client {
    /// For requests only: the end is the first's to see.
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), connection: None }
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GoneAway {
    /// With GOAWAY, and nothing to complain of.
    Politely,
    /// Otherwise.
    Broken(String),
}

/// A request that is under way. Dropped, it is reset.
pub(crate) struct Stream {
    response: Option<ResponseFuture>,
    body: Option<SendStream<Bytes>>,
    answering: Option<(Response<()>, RecvStream)>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &client::Builder::new()).await
    }

    /// With settings of its own.
    pub(crate) async fn connect_with(address: SocketAddr, builder: &client::Builder) -> Self {
        let tcp = TcpStream::connect(address).await.expect("the proxy takes connections");
        tcp.set_nodelay(true).expect("an option");
        Self::over(tcp, builder).await
    }

    /// On a connection that is there.
    pub(crate) async fn over<S>(stream: S, builder: &client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = builder.handshake(stream).await.expect("a preface");
        Self { sender, connection: Some(tokio::spawn(connection)) }
    }

    /// A request with a body, and the answer.
    pub(crate) async fn request(&mut self, request: request::Builder, body: &str) -> Answer {
        let mut stream = self.start(request, body.is_empty()).await;
        if !body.is_empty() {
            stream.send(body.to_owned(), true);
        }
        stream.answer().await
    }

    /// GET, and the answer.
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.request(hyper::Request::get(url), "").await
    }

    /// Sends a head; `alone`: there is no body.
    pub(crate) async fn start(&mut self, request: request::Builder, alone: bool) -> Stream {
        self.try_start(request, alone).await.expect("the connection is whole")
    }

    pub(crate) async fn try_start(
        &mut self,
        request: request::Builder,
        alone: bool,
    ) -> Result<Stream, h2::Error> {
        let request = request.version(Version::HTTP_2).body(()).expect("a request");
        let ready = timeout(PATIENCE, self.sender.clone().ready()).await;
        self.sender = ready.expect("a stream becomes free")?;
        let (response, body) = self.sender.send_request(request, alone)?;
        Ok(Stream { response: Some(response), body: Some(body), answering: None })
    }

    /// Waits for the connection's end.
    pub(crate) async fn gone_away(self) -> GoneAway {
        let Self { sender, connection } = self;
        let connection = connection.expect("the first handle");
        let ended = timeout(PATIENCE, connection).await.expect("it ends").expect("no panic");
        // Kept until here: without it, the end would be ours.
        drop(sender);
        match ended {
            Ok(()) => GoneAway::Politely,
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => GoneAway::Politely,
            Err(error) => GoneAway::Broken(error.to_string()),
        }
    }
}

impl Stream {
    /// Sends data at once, whatever the windows say.
    pub(crate) fn send(&mut self, data: impl Into<Bytes>, end: bool) {
        let body = self.body.as_mut().expect("it is still ours");
        body.send_data(data.into(), end).expect("the stream is open");
    }

    /// Sends data as the windows allow, and ends with it.
    pub(crate) fn send_all(&mut self, mut data: Bytes) -> impl Future<Output = ()> + use<> {
        let mut body = self.body.take().expect("it is still ours");
        async move {
            while !data.is_empty() {
                body.reserve_capacity(data.len());
                let room = poll_fn(|cx| body.poll_capacity(cx)).await;
                let room = room.expect("the stream is open").expect("the stream is whole");
                let chunk = data.split_to(room.min(data.len()));
                body.send_data(chunk, data.is_empty()).expect("the stream is open");
            }
        }
    }

    /// Sends data as the windows allow, and more may follow.
    pub(crate) async fn say(&mut self, data: impl Into<Bytes>) {
        let mut data: Bytes = data.into();
        let body = self.body.as_mut().expect("it is still ours");
        while !data.is_empty() {
            body.reserve_capacity(data.len());
            let room = poll_fn(|cx| body.poll_capacity(cx)).await;
            let room = room.expect("the stream is open").expect("the stream is whole");
            let chunk = data.split_to(room.min(data.len()));
            body.send_data(chunk, false).expect("the stream is open");
        }
    }

    /// The response, whole.
    pub(crate) async fn answer(self) -> Answer {
        self.try_answer().await.expect("the stream is whole")
    }

    pub(crate) async fn try_answer(mut self) -> Result<Answer, h2::Error> {
        self.head().await?;
        let mut body = BytesMut::new();
        while let Some(data) = self.data().await? {
            body.extend_from_slice(&data);
        }
        let (head, mut rest) = self.answering.take().expect("it has a head");
        let trailers = timeout(PATIENCE, rest.trailers()).await.expect("it ends")?;
        let status = head.status().as_u16();
        let headers = head.into_parts().0.headers;
        Ok(Answer { status, headers, body: body.freeze(), trailers: trailers.unwrap_or_default() })
    }

    /// The response's head.
    pub(crate) async fn head(&mut self) -> Result<&Response<()>, h2::Error> {
        if let Some(response) = self.response.take() {
            let response = timeout(PATIENCE, response).await.expect("the proxy answers in time")?;
            let (head, body) = response.into_parts();
            self.answering = Some((Response::from_parts(head, ()), body));
        }
        Ok(&self.answering.as_ref().expect("it has a head").0)
    }

    /// The next piece of the response's body; its head must have been read.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let body = &mut self.answering.as_mut().expect("it has a head").1;
        let Some(data) = timeout(PATIENCE, body.data()).await.expect("more in time") else {
            return Ok(None);
        };
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }
}
