//! The API server's version, which says whether pods may have native sidecars.

use std::time::Duration;

use certs::Backoff;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::call;

/// From this version of the API server on, every kubelet it supports (three minors back) starts
/// init containers with `restartPolicy: Always` as sidecars: they do since 1.29.
pub const NATIVE_SINCE: (u32, u32) = (1, 32);

/// What is known about the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiServer {
    /// Major and minor version; `None` until the first answer. A later failure leaves it.
    pub version: Option<(u32, u32)>,
    /// The first answer came, or was waited for long enough: readiness need wait no more.
    pub settled: bool,
    /// Why the last probe failed; `None` when it did not.
    pub error: Option<String>,
}

impl ApiServer {
    /// What `nativeSidecar: auto` means: native when the version is known and new enough.
    pub fn native_by_default(&self) -> bool {
        self.version.is_some_and(|version| version >= NATIVE_SINCE)
    }
}

/// Reads the version now and `every` so often; retries faster after a failure.
pub(super) async fn run(
    client: Client,
    wait: Duration,
    every: Duration,
    state: watch::Sender<ApiServer>,
) {
    let settle_at = Instant::now() + wait;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    loop {
        let pause = match probe(&client, settle_at, &state).await {
            Ok(version) => {
                backoff.reset();
                publish(&state, |s| *s = ApiServer { version, settled: true, error: None });
                every
            }
            Err(error) => {
                publish(&state, |s| s.error = Some(error));
                backoff.delay().min(every)
            }
        };
        // While nothing is settled, a pause must not outlast the wait.
        if !state.borrow().settled && timeout_at(settle_at, sleep(pause)).await.is_err() {
            give_up_waiting(&state);
        } else if state.borrow().settled {
            sleep(pause).await;
        }
    }
}

/// One probe; says so when the wait for the first answer ends meanwhile.
async fn probe(
    client: &Client,
    settle_at: Instant,
    state: &watch::Sender<ApiServer>,
) -> Result<Option<(u32, u32)>, String> {
    let mut asked =
        std::pin::pin!(call("reading the API server's version", client.apiserver_version()));
    let answer = if state.borrow().settled {
        asked.await
    } else if let Ok(answer) = timeout_at(settle_at, &mut asked).await {
        answer
    } else {
        give_up_waiting(state);
        asked.await
    };
    let info = answer.map_err(|e| e.to_string())?;
    match version_of(&info) {
        Some(version) => Ok(Some(version)),
        None => Err(format!(
            "the API server calls itself major {:?}, minor {:?}: not a version; plain sidecars \
             are injected unless `nativeSidecar` says otherwise",
            info.major, info.minor
        )),
    }
}

fn give_up_waiting(state: &watch::Sender<ApiServer>) {
    tracing::warn!(
        "the API server's version is still unknown: plain sidecars until it answers, unless \
         `nativeSidecar` says otherwise"
    );
    publish(state, |s| s.settled = true);
}

fn publish(state: &watch::Sender<ApiServer>, change: impl FnOnce(&mut ApiServer)) {
    state.send_if_modified(|current| {
        let before = current.clone();
        change(current);
        if current.version != before.version
            && let Some((major, minor)) = current.version
        {
            let native = current.native_by_default();
            tracing::info!(major, minor, native, "API server version");
        }
        if current.error != before.error
            && let Some(error) = &current.error
        {
            tracing::warn!(%error, "API server version");
        }
        *current != before
    });
}

/// Major, and the leading digits of minor: hosted clusters say `33+`. `gitVersion` is free text of
/// whoever built the server.
pub(crate) fn version_of(info: &Info) -> Option<(u32, u32)> {
    let digits = info.minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(info.minor.len());
    Some((info.major.parse().ok()?, info.minor[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kube::Config;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn client(address: SocketAddr) -> Client {
        let url = format!("http://{address}").parse().expect("a URL");
        Client::try_from(Config::new(url)).expect("a client")
    }

    /// Answers every connection with one version, and closes it.
    async fn answer(listener: TcpListener, minor: &str) {
        let body = format!(
            r#"{{"major":"1","minor":"{minor}","gitVersion":"v9.99","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}}"#
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    async fn until(
        state: &mut watch::Receiver<ApiServer>,
        wanted: impl Fn(&ApiServer) -> bool,
    ) -> ApiServer {
        let found = tokio::time::timeout(Duration::from_mins(1), state.wait_for(|s| wanted(s)));
        found.await.expect("in time").expect("running").clone()
    }

    /// A server that takes connections and never answers: readiness waits no longer than it may,
    /// and the version that comes at last is taken.
    #[tokio::test]
    async fn a_late_answer_is_waited_for_only_so_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, mut state) = watch::channel(ApiServer::default());
        let wait = Duration::from_millis(50);
        let task = tokio::spawn(run(client(address), wait, Duration::from_mins(10), sender));
        let settled = until(&mut state, |s| s.settled).await;
        assert_eq!((settled.version, settled.native_by_default()), (None, false));
        // The connection waits in the backlog until now.
        let server = tokio::spawn(answer(listener, "36"));
        let known = until(&mut state, |s| s.version.is_some()).await;
        assert!(known.native_by_default() && known.error.is_none());
        task.abort();
        server.abort();
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_means_plain_sidecars() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let (sender, mut state) = watch::channel(ApiServer::default());
        let wait = Duration::from_millis(500);
        let task = tokio::spawn(run(client(address), wait, Duration::from_mins(10), sender));
        let settled = until(&mut state, |s| s.settled).await;
        assert!(!settled.native_by_default());
        let error = settled.error.expect("why");
        assert!(error.contains("check that the API server can be reached"), "{error}");
        task.abort();
    }

    /// A newer API server after an upgrade of the cluster is noticed; its loss later is not a
    /// reason to forget what it was.
    #[tokio::test]
    async fn the_version_is_read_again_and_survives_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(answer(listener, "31+"));
        let (sender, mut state) = watch::channel(ApiServer::default());
        let wait = Duration::from_mins(1);
        let task = tokio::spawn(run(client(address), wait, Duration::from_millis(20), sender));
        let old = until(&mut state, |s| s.settled).await;
        assert_eq!((old.version, old.native_by_default()), (Some((1, 31)), false));
        server.abort();
        let _ = server.await;
        let failed = until(&mut state, |s| s.error.is_some()).await;
        assert_eq!(failed.version, Some((1, 31)));
        let listener = TcpListener::bind(address).await.expect("the port again");
        let server = tokio::spawn(answer(listener, "32"));
        let new = until(&mut state, |s| s.error.is_none()).await;
        assert!(new.native_by_default());
        task.abort();
        server.abort();
    }

    #[test]
    fn native_by_major_and_leading_digits_of_minor() {
        for (major, minor, native) in [
            ("1", "36", Some(true)),
            ("1", "32", Some(true)),
            ("1", "32+", Some(true)),
            ("1", "33-gke.1", Some(true)),
            ("2", "0", Some(true)),
            ("1", "31", Some(false)),
            ("1", "9", Some(false)),
            ("", "", None),
            ("1", "", None),
            ("1", "+32", None),
            ("v1", "32", None),
        ] {
            let info = Info {
                major: major.into(),
                minor: minor.into(),
                git_version: "v1.99.0".into(),
                ..Info::default()
            };
            let version = version_of(&info);
            assert_eq!(version.is_some(), native.is_some(), "{major}.{minor}");
            let server = ApiServer { version, settled: true, error: None };
            assert_eq!(server.native_by_default(), native.unwrap_or(false), "{major}.{minor}");
        }
    }
}
