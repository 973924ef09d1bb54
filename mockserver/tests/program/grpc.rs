//! gRPC methods, called with HTTP/2 frames: messages are bytes behind a length.

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt, channel::mpsc};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testbed::Guard;
use tokio::time::timeout;

use crate::mock::{Mock, PATIENCE};

/// A call whose messages are sent through the channel.
async fn call(mock: &Mock) -> Result<(mpsc::Sender<Bytes>, Response<Incoming>)> {
    let stream = tokio::net::TcpStream::connect(mock.address).await?;
    let (mut http, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (messages, receiver) = mpsc::channel(1);
    let body = StreamBody::new(receiver.map(|message| anyhow::Ok(Frame::data(message))));
    let request = Request::post(format!("http://{}/any.Service/Method", mock.address))
        .header("content-type", "application/grpc+proto")
        .header("grpc-encoding", "gzip")
        .header("te", "trailers")
        .body(body)?;
    let response = timeout(PATIENCE, http.send_request(request)).await??;
    ensure!(response.headers()["content-type"] == "application/grpc+proto", "{response:?}");
    Ok((messages, response))
}

fn message(bytes: &[u8]) -> Result<Bytes> {
    let mut message = vec![0];
    message.extend(u32::try_from(bytes.len())?.to_be_bytes());
    message.extend_from_slice(bytes);
    Ok(message.into())
}

#[tokio::test]
async fn each_message_of_a_stream_comes_back_at_once() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let (mut messages, mut response) = call(&mock).await?;
    assert_eq!(response.headers()["x-mockserver-service"], "mock");
    assert_eq!(response.headers()["grpc-encoding"], "gzip");
    for round in 0..5_u8 {
        // The next is sent only when the last is back.
        let sent = message(&[round; 1000])?;
        messages.send(sent.clone()).await?;
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let frame = timeout(PATIENCE, response.frame()).await?.context("the end")??;
            received
                .extend_from_slice(&frame.into_data().map_err(|_| anyhow::anyhow!("trailers"))?);
        }
        assert!(received == sent, "round {round}");
    }
    drop(messages);
    let last = timeout(PATIENCE, response.frame()).await?.context("no trailers")??;
    let trailers = last.into_trailers().map_err(|_| anyhow::anyhow!("data"))?;
    assert_eq!(trailers["grpc-status"], "0");
    assert!(response.frame().await.is_none());
    Ok(())
}

#[tokio::test]
async fn a_failing_call_has_a_status_and_nothing_else() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-failRate", "1"])?;
    let (_messages, mut response) = call(&mock).await?;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(response.headers()["grpc-message"].to_str()?.contains("-failRate"));
    assert!(timeout(PATIENCE, response.frame()).await?.is_none());
    Ok(())
}
