//! Every request of the corpus, at a consumer side and at a provider side.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use e2e::mesh::{Mesh, Raw, Sidecar};

use tokio::time::timeout;

use crate::capture::{Capture, Seen};
use crate::corpus::{Case, On, Step, cases};

/// Nothing here has to wait for anything: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// A consumer side that knows service `b`, and a provider side; both end at the same server.
pub(crate) struct Proxies {
    pub(crate) capture: Capture,
    pub(crate) consumer: SocketAddr,
    pub(crate) provider: SocketAddr,
    pub(crate) sidecars: [Sidecar; 2],
    _mesh: Mesh,
}

impl Proxies {
    pub(crate) async fn start() -> Result<Self> {
        let mesh = Mesh::start()?;
        let capture = Capture::start().await?;
        let address = capture.upstream.address;
        mesh.registry.register("b", address).await?;
        let caller = mesh.sidecar("caller").start()?;
        let server = mesh.sidecar("server").serving("server", address.port()).start()?;
        let (consumer, provider) = (caller.consumer, server.provider()?);
        Ok(Self { capture, consumer, provider, sidecars: [caller, server], _mesh: mesh })
    }

    /// Plays every case, and calls `judge` with what went on of it.
    pub(crate) async fn play_all(
        &self,
        mut judge: impl AsyncFnMut(&str, &Case, Vec<Seen>, Result<()>) -> Result<()>,
    ) -> Result<()> {
        for (side, address) in [("consumer", self.consumer), ("provider", self.provider)] {
            let consumer = side == "consumer";
            for case in cases().iter().filter(|case| consumer || case.on == On::Both) {
                let played = timeout(PATIENCE, play(address, case, consumer)).await;
                let played = played.unwrap_or_else(|_| Err(anyhow!("it hangs")));
                judge(side, case, self.capture.take(), played).await?;
            }
        }
        Ok(())
    }
}

/// Sends a case, reads what comes of it, and makes sure that the connection is then where it should
/// be: at the beginning of another request, or closed.
async fn play(address: SocketAddr, case: &Case, consumer: bool) -> Result<()> {
    let mut client = Raw::connect(address).await?;
    // Who is refused early may see the connection end before all of it went.
    let _ = client.send(case.bytes(consumer)).await;
    for step in &case.steps {
        let (method, status) = match step {
            Step::Forwarded(method, ..) => (*method, 200),
            Step::Refused(status) | Step::Declined(status) => ("GET", *status),
            Step::Closes => {
                ensure!(client.is_ended().await?, "the connection goes on");
                return Ok(());
            }
        };
        let mut reply = client.reply(method).await?;
        while reply.status == 100 {
            reply = client.reply(method).await?;
        }
        ensure!(reply.status == status, "{} and not {status}", reply.status);
    }
    if case.steps.iter().any(|step| matches!(step, Step::Refused(_))) {
        // By a reset too: what was not read of the request is thrown away.
        ensure!(client.is_ended().await?, "the connection goes on");
        return Ok(());
    }
    let target = if consumer { "http://b/next" } else { "/next" };
    client.send(format!("GET {target} HTTP/1.1\r\nhost: b\r\n\r\n")).await?;
    let reply = client.reply("GET").await?;
    ensure!(reply.status == 200, "the next request was answered with {}", reply.status);
    Ok(())
}

/// That just what a case means went on, and nothing that could be read in two ways.
pub(crate) fn check(case: &Case, seen: &[Seen]) -> Result<()> {
    for one in seen {
        let raw = String::from_utf8_lossy(&one.raw);
        ensure!(one.faults.is_empty(), "{:?} in {raw:?}", one.faults);
    }
    let next = ("GET", "/next", "");
    let mut wanted: Vec<_> = case.steps.iter().filter_map(forwarded).collect();
    if !case.steps.iter().any(|step| matches!(step, Step::Refused(_) | Step::Closes)) {
        wanted.push(next);
    }
    let found: Vec<_> = seen
        .iter()
        .map(|one| {
            let meaning = &one.meaning;
            let body = String::from_utf8_lossy(&meaning.body);
            (meaning.method.as_str(), meaning.target.as_str(), body.into_owned())
        })
        .collect();
    let same = found.iter().map(|(a, b, c)| (*a, *b, c.as_str())).eq(wanted.iter().copied());
    ensure!(same, "{found:?} and not {wanted:?}");
    let hosts = seen.iter().all(|one| one.meaning.host.trim_end_matches(':') == "b");
    ensure!(hosts, "not all hosts are b");
    Ok(())
}

fn forwarded(step: &Step) -> Option<(&'static str, &'static str, &'static str)> {
    match step {
        Step::Forwarded(method, target, body) => Some((*method, *target, *body)),
        Step::Refused(_) | Step::Declined(_) | Step::Closes => None,
    }
}

#[tokio::test]
async fn what_goes_on_is_one_plain_request_and_the_rest_is_refused() -> Result<()> {
    let proxies = Proxies::start().await?;
    let mut wrong = Vec::new();
    proxies
        .play_all(async |side, case, seen, played| {
            let judged = played.and_then(|()| check(case, &seen));
            if let Err(error) = judged {
                wrong.push(format!("{}, {side}: {error:#}", case.name));
            }
            Ok(())
        })
        .await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for sidecar in &proxies.sidecars {
        ensure!(sidecar.server.is_running() && !sidecar.server.log().contains("panicked"));
    }
    Ok(())
}
