//! `/debug/pprof/`: where the processor's time goes, for `go tool pprof`.
//!
//! Until a profile is asked for there is nothing of it: no signal handler, no timer, no memory.
//! While one is taken, the system interrupts whichever thread is running after each hundredth of a
//! second of work, and the handler notes the stack. It takes no lock, calls no allocator and reads
//! only memory that it has found to be readable: it walks the stack by the unwind tables of the
//! program, not by the C library's unwinder, which is not made to be called from there.

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path as Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rpprof::protos::Message;
use rpprof::{ProfilerGuard, ProfilerGuardBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Samples for each second of work; not 100, so that nothing that happens a hundred times a
/// second is always, or never, seen.
const FREQUENCY: i32 = 99;
/// Seconds of a profile whose length nobody gave.
const SECONDS: u64 = 30;
/// Seconds of the longest one.
const LONGEST: u64 = 120;
/// Where files can be written in a container whose own file system can't be.
const SHARED_MEMORY: &str = "/dev/shm";

/// What the profiler's table takes, from the first profile to the end of the process: as measured, of
/// a release build, with what is read to find the names.
const TABLE: u64 = 80 << 20;
/// What is to be left for everything else beside it.
const SPARE: u64 = 16 << 20;
/// The limit of the container, by version of control groups.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// The table is there.
static TABLE_IS_THERE: AtomicBool = AtomicBool::new(false);

/// What Go programs have here besides.
const OF_GO: [&str; 9] =
    ["allocs", "block", "cmdline", "goroutine", "heap", "mutex", "symbol", "threadcreate", "trace"];

const INDEX: &str = "\
profile   where the processor's time goes, of all threads: ?seconds=1 to 120, built in 30
          go tool pprof http://ADDRESS/debug/pprof/profile?seconds=10
";

/// One profile at a time: there is one timer for all of the process.
type Turn = Arc<Semaphore>;

/// Serves one address until the program ends.
pub(crate) async fn serve(listener: TcpListener) {
    let router = Router::new()
        .route("/debug/pprof", get(index))
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof/profile", get(profile))
        .route("/debug/pprof/{name}", get(other))
        .with_state(Arc::new(Semaphore::new(1)));
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "profiles are no longer served");
    }
}

async fn index() -> &'static str {
    INDEX
}

async fn other(Path(name): Path<String>) -> Response {
    if !OF_GO.contains(&name.as_str()) {
        return (StatusCode::NOT_FOUND, INDEX).into_response();
    }
    let message = format!(
        "there is no {name} here, as mesher is no Go program: \
         /debug/pprof/profile says where the processor's time goes\n"
    );
    (StatusCode::NOT_IMPLEMENTED, message).into_response()
}

async fn profile(
    State(turn): State<Turn>,
    Query(asked): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let seconds = match asked.get("seconds") {
        None => SECONDS,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds));
            seconds.ok_or(Refusal::Length)?
        }
    };
    let turn = turn.try_acquire_owned().map_err(|_| Refusal::Busy)?;
    tracing::info!(seconds, "a profile is taken");
    // A client that goes away takes the profile with it, wherever it has got to.
    let running = spawn_blocking(|| Running::start(turn)).await.map_err(|_| Refusal::Broken)??;
    sleep(Duration::from_secs(seconds)).await;
    let taken = spawn_blocking(|| running.finish()).await.map_err(|_| Refusal::Broken)??;
    let headers = [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=\"profile\""),
    ];
    Ok((headers, taken).into_response())
}

/// A profile that is being taken. Dropped, it ends, and the next may begin.
struct Running {
    guard: ProfilerGuard<'static>,
    _turn: OwnedSemaphorePermit,
}

impl Running {
    fn start(turn: OwnedSemaphorePermit) -> Result<Self, Refusal> {
        if !has_folder() {
            return Err(Refusal::NoFolder);
        }
        if !TABLE_IS_THERE.load(Ordering::Relaxed) {
            has_memory(limit(), own())?;
        }
        let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).build()?;
        TABLE_IS_THERE.store(true, Ordering::Relaxed);
        Ok(Self { guard, _turn: turn })
    }

    /// Finds the names of what was seen, which takes a moment.
    fn finish(self) -> Result<Vec<u8>, Refusal> {
        let report = self.guard.report().build()?;
        drop(self);
        Ok(report.pprof()?.encode_to_vec())
    }
}

/// Stacks that do not fit into the profiler's table go into a file: finds a folder for it.
fn has_folder() -> bool {
    let usable = |folder: &Folder| tempfile::tempfile_in(folder).is_ok();
    let shared = Folder::new(SHARED_MEMORY);
    usable(&tempfile::env::temp_dir())
        || (usable(shared) && tempfile::env::override_temp_dir(shared).is_ok())
}

/// Refuses what would end the process, and the application's connections with it.
fn has_memory(limit: Option<u64>, own: u64) -> Result<(), Refusal> {
    let left = limit.unwrap_or(u64::MAX).saturating_sub(own);
    if left < TABLE + SPARE {
        return Err(Refusal::Memory { left: left >> 20 });
    }
    Ok(())
}

/// Bytes that the container may have; `None`: nobody says.
fn limit() -> Option<u64> {
    // Version 2 says `max` where there is no limit, version 1 a number larger than any memory.
    LIMITS.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

/// Bytes in RAM that no file can give back.
fn own() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or(0, |count| count << 10)
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("seconds: write a whole number from 1 to {LONGEST}")]
    Length,
    #[error("another profile is being taken: come back when it is done")]
    Busy,
    #[error("neither the folder for temporary files nor {SHARED_MEMORY} can be written: mount one")]
    NoFolder,
    #[error(
        "a profile takes {} MiB, and of the container's memory {left} MiB are left: give it a \
         larger limit, in a pod by the annotation sidecar.mesher.io/memoryLimit",
        (TABLE + SPARE) >> 20
    )]
    Memory { left: u64 },
    #[error("the profiler failed: {0}")]
    Profiler(rpprof::Error),
    #[error("the profiler broke off: the log says why")]
    Broken,
}

impl From<rpprof::Error> for Refusal {
    fn from(error: rpprof::Error) -> Self {
        match error {
            rpprof::Error::Running => Self::Busy,
            error => Self::Profiler(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Length => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Memory { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoFolder | Self::Profiler(_) | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::{has_memory, own};

    #[test]
    fn a_profile_that_does_not_fit_is_refused() {
        let mib = |count: u64| count << 20;
        for (limit, own, fits) in [
            (None, mib(4000), true),
            (Some(mib(128)), mib(1), true),
            (Some(mib(128)), mib(32), true),
            (Some(mib(128)), mib(33), false),
            (Some(mib(64)), 0, false),
            (Some(mib(64)), mib(100), false),
            (Some(u64::MAX), mib(100), true),
        ] {
            assert_eq!(has_memory(limit, own).is_ok(), fits, "{own} of {limit:?}");
        }
        let told = has_memory(Some(mib(128)), mib(50)).unwrap_err().to_string();
        assert!(told.contains("96 MiB") && told.contains("78 MiB"), "{told}");
    }

    #[test]
    fn this_process_has_memory_of_its_own() {
        assert!(own() > 0);
    }
}
