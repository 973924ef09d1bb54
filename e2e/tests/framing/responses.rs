//! Responses by the byte: what comes back is one plain response or a refusal, and what is left of
//! it on the connection is nobody's.

use std::time::Duration;

use Came::{Broken, Status, Whole};
use anyhow::{Result, anyhow, ensure};
use e2e::mesh::{Memory, Mesh, Raw, Upstream};
use tokio::time::timeout;

/// Nothing here has to wait for anything: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// A response of this status, with this body.
    Whole(u16, &'static str),
    /// A response of the proxy's own, or one whose body does not matter.
    Status(u16),
    /// A response that breaks off, and shows it.
    Broken,
}

/// What the instance says to the first request of its first connection, and what comes of that.
const CASES: &[(&str, &str, &str, Came)] = &[
    ("a length", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    (
        "chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(200, "ok"),
    ),
    ("neither", "GET", "HTTP/1.1 200 OK\r\n\r\nok", Whole(200, "ok")),
    ("HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nok", Whole(200, "ok")),
    (
        "a length and chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(200, "ok"),
    ),
    (
        "two equal lengths",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        Whole(200, "ok"),
    ),
    (
        "two different lengths",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        Status(502),
    ),
    ("a length with a sign", "GET", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Status(502)),
    ("no number", "GET", "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok", Status(502)),
    (
        "a length of 2^64 + 2",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551618\r\n\r\nok",
        Status(502),
    ),
    ("another coding", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", Status(502)),
    (
        "a coding after chunked",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nok",
        Status(502),
    ),
    (
        "chunked twice",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "chunked in two lines",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "chunks in HTTP/1.0",
        "GET",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "a blank before the colon",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        Status(502),
    ),
    (
        "a folded line",
        "GET",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        Status(502),
    ),
    ("a NUL", "GET", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok", Status(502)),
    ("a bare CR", "GET", "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nok", Status(502)),
    ("bare LFs", "GET", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Whole(200, "ok")),
    ("no reason", "GET", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    ("a status of 99", "GET", "HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nok", Status(502)),
    ("a status of 1000", "GET", "HTTP/1.1 1000 Odd\r\ncontent-length: 2\r\n\r\nok", Status(502)),
    ("a status of 999", "GET", "HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\nok", Whole(999, "ok")),
    ("HTTP/2", "GET", "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Status(502)),
    ("HTTP/0.9", "GET", "ok", Status(502)),
    ("a stranger", "GET", "SSH-2.0-OpenSSH_9.2\r\n", Status(502)),
    ("half a head", "GET", "HTTP/1.1 200 OK\r\ncontent-le", Status(502)),
    ("nothing", "GET", "", Status(502)),
    ("less than the length", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Broken),
    (
        "no last chunk",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        Broken,
    ),
    (
        "a wrong chunk",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n+2\r\nok\r\n0\r\n\r\n",
        Broken,
    ),
    (
        "a chunk that is longer than it says",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        Broken,
    ),
    // What follows a response is not the response to the next request.
    (
        "more than the length",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        Whole(200, "ok"),
    ),
    (
        "more than the chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        Whole(200, "ok"),
    ),
    (
        "a body of HEAD",
        "HEAD",
        "HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        Whole(200, ""),
    ),
    (
        "a body of 204",
        "GET",
        "HTTP/1.1 204 No Content\r\ncontent-length: 42\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        Whole(204, ""),
    ),
    (
        "a body of 304",
        "GET",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 42\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        Whole(304, ""),
    ),
    (
        "an interim response before",
        "GET",
        "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Whole(200, "ok"),
    ),
    (
        "another protocol that nobody asked for",
        "GET",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        Status(502),
    ),
];

/// What says more than a proxy takes in: a head that is too long, in one field or in many, and
/// interim responses without an end.
#[tokio::test]
async fn who_never_comes_to_the_point_is_not_listened_to() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").key("mesher.limits.requestTimeout", "2s").start()?;
    let long = format!("x: {}\r\n", "a".repeat(1 << 20));
    let many: String = "x: a\r\n".repeat(10_000);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n".repeat(1_000);
    for (name, said, statuses) in [
        ("long", format!("HTTP/1.1 200 OK\r\n{long}"), &[502][..]),
        ("many", format!("HTTP/1.1 200 OK\r\n{many}"), &[502]),
        ("interim", interim, &[502, 504]),
    ] {
        let upstream = Upstream::start(move |mut peer, _| {
            let said = said.clone();
            async move {
                peer.head().await?;
                // To the end of the connection, or of whoever listens.
                loop {
                    peer.send(&said).await?;
                }
            }
        })
        .await?;
        mesh.registry.register(name, upstream.address).await?;
        let before = Memory::of(&caller.server)?.anonymous;
        let reply = timeout(PATIENCE, caller.get(&format!("http://{name}/"))).await??;
        ensure!(statuses.contains(&reply.status), "{name}: {}: {}", reply.status, reply.text());
        let extra = Memory::of(&caller.server)?.anonymous.saturating_sub(before);
        ensure!(extra < 4 << 20, "{name}: {extra} bytes were taken in");
    }
    Ok(())
}

#[tokio::test]
async fn what_comes_back_is_one_plain_response() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let mut wrong = Vec::new();
    for (number, (name, method, said, came)) in CASES.iter().enumerate() {
        // What says no length ends with its connection; so does what is no whole response.
        let ends = matches!(came, Broken | Status(_))
            || !said.contains("content-length") && !said.contains("chunked");
        let upstream = Upstream::start(move |mut peer, connection| async move {
            let mut first = connection == 0;
            loop {
                peer.head().await?;
                if std::mem::take(&mut first) {
                    peer.send(said).await?;
                    if ends {
                        peer.finish().await?;
                        return peer.rest().await.map(drop);
                    }
                } else {
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext").await?;
                }
            }
        })
        .await?;
        let service = format!("b{number}");
        mesh.registry.register(&service, upstream.address).await?;
        let played = async {
            let mut client = Raw::connect(caller.consumer).await?;
            let request =
                |method| format!("{method} http://{service}/ HTTP/1.1\r\nhost: {service}\r\n\r\n");
            client.send(request(*method)).await?;
            let reply = client.reply(method).await;
            match (came, reply) {
                (Whole(status, body), Ok(reply)) => {
                    let found = (reply.status, reply.text());
                    ensure!(found == (*status, (*body).to_owned()), "{found:?}");
                    let both = reply.header("content-length").is_some()
                        && reply.header("transfer-encoding").is_some();
                    ensure!(!both, "{:?}", reply.headers);
                }
                (Status(status), Ok(reply)) => {
                    ensure!(reply.status == *status, "{}: {}", reply.status, reply.text());
                }
                (Broken, Err(_)) => client = Raw::connect(caller.consumer).await?,
                (_, Ok(reply)) => return Err(anyhow!("{}: {}", reply.status, reply.text())),
                (_, Err(error)) => return Err(error),
            }
            client.send(request("GET")).await?;
            let next = client.reply("GET").await?;
            ensure!(next.text() == "next", "the next one was answered with {:?}", next.text());
            Ok(())
        };
        let played = timeout(PATIENCE, played).await.unwrap_or_else(|_| Err(anyhow!("it hangs")));
        if let Err(error) = played {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(caller.server.is_running() && !caller.server.log().contains("panicked"));
    Ok(())
}
