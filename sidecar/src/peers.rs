//! Finds out which hosts have a proxy of ours beside their applications: it is asked for.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::plan::{Address, PEER};
use crate::shared::Shared;

/// How often it is looked whether somebody is to be asked.
const LOOK: Duration = Duration::from_secs(1);
/// What an answer may take. Until then requests go to the application itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many are asked at once.
const AT_ONCE: usize = 16;
/// The most that is read of an answer.
const LONGEST: u64 = 8 << 10;
/// The name of the header that a proxy of ours answers with.
const NAME: &[u8] = b"x-mesher-identity:";

/// Asks, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let hosts = in_use(&shared);
        let registry = shared.plans.registry();
        let asked = registry.peers.to_ask(&hosts, shared.clock.now());
        if asked.is_empty() {
            continue;
        }
        let found = stream::iter(asked)
            .map(|host| async move { (host, timeout(PATIENCE, ask(host)).await) })
            .buffer_unordered(AT_ONCE)
            .map(|(host, answer)| (host, matches!(answer, Ok(Ok(true)))))
            .collect::<Vec<_>>()
            .await;
        let changed = registry.peers.answered(found, &hosts, shared.clock.now());
        if !changed.is_empty() {
            tracing::debug!(hosts = ?changed, "proxies of ours came or went");
            shared.plans.reconsider(&changed);
        }
    }
}

/// The hosts of instances, with what was sent to each and what of it has failed.
fn in_use(shared: &Shared) -> HashMap<IpAddr, (u64, u64)> {
    let mut hosts = HashMap::new();
    for endpoint in shared.plans.registry().endpoints() {
        let Address::Known(address) = &endpoint.id.address else { continue };
        // Our own application is reached without us.
        let ours = shared.is_own(SocketAddr::new(address.ip(), PEER));
        if endpoint.id.instance.is_some() && !ours {
            let (sent, failed) = hosts.entry(address.ip()).or_insert((0, 0));
            *sent += endpoint.attempts.load(Ordering::Relaxed);
            *failed += endpoint.failures.load(Ordering::Relaxed);
        }
    }
    hosts
}

/// Whether a proxy of ours is at a host.
async fn ask(host: IpAddr) -> io::Result<bool> {
    let mut tcp = TcpStream::connect((host, PEER)).await?;
    let entrance = SocketAddr::new(host, PEER);
    let question = format!(
        "OPTIONS * HTTP/1.1\r\nhost: {entrance}\r\nx-mesher-identity: ?\r\n\
         connection: close\r\n\r\n"
    );
    tcp.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    tcp.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(is_ours(&answer))
}

fn is_ours(answer: &[u8]) -> bool {
    let mut lines = answer.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let speaks = lines.next().is_some_and(|line| line.starts_with(b"HTTP/1.1 204"));
    let named =
        |line: &[u8]| line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
    speaks && lines.take_while(|line| !line.is_empty()).any(named)
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn a_proxy_of_ours_says_who_it_is() {
        for (answer, ours) in [
            ("HTTP/1.1 204 No Content\r\nX-Mesher-Identity: mesher/1\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nx-mesher-identity: ?\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\nx-mesher-identity: ?\r\n", false),
            ("HTTP/1.1 204 No Content\r\nserver: nginx\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_ours(answer.as_bytes()), ours, "{answer}");
        }
    }
}
