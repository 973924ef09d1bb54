//! HTTP/1.1 and HTTP/2 on one port, and the proxy of the environment.

use std::io::Write;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use testbed::Guard;

use crate::http;
use crate::mock::Mock;
use crate::proxy::Proxy;

/// `GET target` with HTTP/2, prior knowledge, many at once on one connection.
async fn get_h2(mock: &Mock, target: &str, count: usize) -> Result<Vec<Value>> {
    let stream = tokio::net::TcpStream::connect(mock.address).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let exchanges = (0..count).map(|_| async {
        let uri = format!("http://{}{target}", mock.address);
        let request = Request::get(uri).body(Empty::<Bytes>::new())?;
        let response = sender.clone().send_request(request).await?;
        assert_eq!(response.version(), Version::HTTP_2);
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok(serde_json::from_slice(&body)?)
    });
    futures::future::try_join_all(exchanges).await
}

#[tokio::test]
async fn both_versions_on_one_port() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let answers = get_h2(&mock, "/x?y", 50).await?;
    for answer in &answers {
        assert_eq!(answer["RequestInfo"][0], "GET /x?y HTTP/2.0");
        assert_eq!(answer["RequestInfo"][1], format!("Host: {}", mock.address).as_str());
    }
    assert_eq!(mock.get("/x")?.json()?["RequestInfo"][0], "GET /x HTTP/1.1");
    Ok(())
}

#[test]
fn calls_can_be_made_with_http2() -> Result<()> {
    let guard = Guard::new()?;
    let leaf = Mock::start(&guard, "leaf", &[])?;
    let root = Mock::start(&guard, "root", &["-http2"])?;
    let tree = root.get(&format!("/@{0},{0}/x", leaf.address))?.json()?;
    for call in tree["ParallelForwards"][0]["SequentialForwards"].as_array().context("calls")? {
        assert_eq!(call["Response"]["RequestInfo"][0], "GET /x HTTP/2.0", "{call:#}");
    }
    Ok(())
}

/// A request in absolute form, as proxies get it, is a request like any other; a tunnel is not.
#[test]
fn it_is_a_server_and_no_proxy() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let answer = mock.get("http://elsewhere:81/x?y")?;
    let json = answer.json()?;
    assert_eq!((answer.status, &json["Message"]), (200, &"request 'x?y' succeeded.".into()));
    assert_eq!(json["RequestInfo"][0], "GET http://elsewhere:81/x?y HTTP/1.1");

    let mut stream = http::connect(mock.address)?;
    stream.write_all(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n")?;
    let answer = http::receive(stream)?;
    assert_eq!((answer.status, &answer.json()?["Error"]["Code"]), (405, &"no_proxy".into()));
    Ok(())
}

#[test]
fn malformed_requests_are_refused_and_harm_nobody() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    for request in ["GET / x HTTP/1.1\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n"]
    {
        let mut stream = http::connect(mock.address)?;
        stream.write_all(request.as_bytes())?;
        assert_eq!(http::receive(stream)?.status, 400, "{request:?}");
    }
    assert_eq!(mock.get("/%zz/@%ff|%0d%0a?%")?.status, 200);
    assert_eq!(mock.get("/@%ff|a%0d%0ab[x=%0a]/")?.status, 200);
    Ok(())
}

#[test]
fn loopback_goes_through_the_proxy_too() -> Result<()> {
    let guard = Guard::new()?;
    let proxy = Proxy::start()?;
    let leaf = Mock::start(&guard, "leaf", &[])?;
    let environment = [("http_proxy", proxy.url())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let root = Mock::start_with(&guard, "root", &[], &environment)?;
    let target = format!("/@{}/x", leaf.address);
    let call = |tree: Value| tree["ParallelForwards"][0]["SequentialForwards"][0].clone();

    let through = call(root.get(&target)?.json()?);
    assert_eq!(proxy.events().len(), 2);
    let info = through["Response"]["RequestInfo"].as_array().context("info")?;
    assert!(info.contains(&"via: 1.1 test".into()), "{through:#}");
    assert!(info.contains(&format!("Host: {}", leaf.address).into()), "{through:#}");

    // What no_proxy names does not.
    let excepted = [environment[0], ("no_proxy", "localhost,127.0.0.1")];
    let root = Mock::start_with(&guard, "excepted", &[], &excepted)?;
    assert_eq!(call(root.get(&target)?.json()?)["Status"], 200);
    assert_eq!(proxy.events(), [""; 0]);

    // Without the proxy there is no way, and the answer says where it ended.
    let [gone] = testbed::free_ports()?;
    let dead = format!("http://127.0.0.1:{gone}");
    let root = Mock::start_with(&guard, "lost", &[], &[("HTTP_PROXY", dead.as_str())])?;
    let lost = call(root.get(&target)?.json()?);
    let error = lost["Error"].as_str().context("an error")?;
    assert!(error.starts_with(&format!("through the proxy 127.0.0.1:{gone}: ")), "{error}");
    Ok(())
}
