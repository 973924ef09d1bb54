//! Taking connections, HTTP/1.1 and HTTP/2 on the same port.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::lifecycle::{Closing, LINGER};
use super::listen;
use super::request::Service;

/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_mins(1);

/// One port that serves HTTP.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) http: Arc<Service>,
    pub(super) connections: Arc<GracefulShutdown>,
}

impl Port {
    /// Takes connections until `closing`; then the port is free at once.
    pub(super) async fn serve(self, listener: TcpListener, mut closing: Closing) {
        while let Some((tcp, _)) = listen::next(&listener, &mut closing).await {
            self.take(tcp, closing.clone());
        }
    }

    fn take(&self, tcp: TcpStream, mut closing: Closing) {
        let http = Arc::clone(&self.http);
        let watcher = self.connections.watcher();
        tokio::spawn(async move {
            // Nobody waits for an answer before something was said.
            let mut byte = [0];
            tokio::select! {
                biased;
                first = timeout(IDLE, tcp.peek(&mut byte)) => if !matches!(first, Ok(Ok(1))) {
                    return;
                },
                () = lingered(&mut closing) => return,
            }
            let service = service_fn(move |request| {
                let http = Arc::clone(&http);
                async move { Ok::<_, Infallible>(http.answer(request).await) }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
            builder.http2().timer(TokioTimer::new());
            let connection = builder.serve_connection(TokioIo::new(tcp), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error, "connection ended");
            }
        });
    }
}

/// Returns when listeners have closed, and whoever was about to say something could have.
async fn lingered(closing: &mut Closing) {
    closing.reached().await;
    sleep(LINGER).await;
}
