//! Whether anything fails, or grows, while everything changes that may.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::load::{Pace, open};
use bench::pods::{review, typical};
use bench::process::Memory;
use bench::report::{Table, megabytes, millis};
use bench::server::{Certificates, Running, write_template};
use tokio::runtime::Runtime;

use super::OPEN_CONNECTIONS;

/// Reviews in all.
const REVIEWS: usize = 100_000;
/// How long a connection lives: so most handshakes meet another leaf than the one before.
const LIFE: Duration = Duration::from_secs(2);
/// Reviews a second: so it takes long enough for several authorities.
const RATE: f64 = 2000.0;

/// What [`long_run`] found.
pub(crate) struct LongRun {
    pub(crate) table: Table,
    /// The most resident, in megabytes.
    pub(crate) peak: f64,
}

/// A hundred thousand reviews while everything changes that may change: the template every second,
/// the certificate every two, its authority every ten, and connections all the time.
pub(crate) fn long_run(runtime: &Runtime, program: &Path) -> Result<LongRun> {
    let server = Running::injector(program, Certificates::Hasty)?;
    let target = server.target(&review(&typical()).into());
    let before = Memory::of(server.pid())?;
    let started = Instant::now();
    let pace =
        Pace { rate: RATE, reviews: REVIEWS, connections: OPEN_CONNECTIONS, life: Some(LIFE) };
    eprintln!("{REVIEWS} reviews at {RATE:.0} a second, while templates and certificates change");
    let run = runtime.block_on(async {
        let changing = tokio::spawn(change_templates(server.templates()));
        let run = open(&target, pace).await;
        changing.abort();
        run
    });
    let run = run.context("a review failed while templates and certificates changed")?;
    let after = Memory::of(server.pid())?;
    let status = server.status()?;
    ensure!(status.error.is_none(), "the injector complains: {:?}", status.error);
    let elapsed = started.elapsed().as_secs();
    let (reloads, leaves) = (status.reloads - 1, status.identities);
    let authorities = server.stored("a new one stands beside it");
    ensure!(
        reloads >= elapsed / 2 && leaves >= elapsed / 4 && (authorities > 0 || elapsed < 15),
        "{elapsed} s saw only {reloads} reloads, {leaves} certificates, {authorities} authorities"
    );
    let mut table = Table::new(
        format!("{REVIEWS} reviews while everything changes, none failed"),
        &["what", "value"],
    );
    let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
    row("seconds", format!("{:.0}", run.elapsed.as_secs_f64()));
    row("templates put in force", reloads.to_string());
    row("certificates and bundles put in service", leaves.to_string());
    row("new authorities", authorities.to_string());
    row("handshakes meanwhile", run.reconnects.to_string());
    row(
        "p50, p99, p99.9 ms",
        [0.5, 0.99, 0.999]
            .map(|share| format!("{:.2}", millis(run.latencies.quantile(share))))
            .join(", "),
    );
    row("reviews per CPU second", format!("{:.0}", run.per_cpu_second()));
    row("resident MB before", format!("{:.1}", megabytes(before.resident)));
    row("resident MB at most", format!("{:.1}", megabytes(after.peak)));
    row("resident MB after", format!("{:.1}", megabytes(after.resident)));
    print!("{table}");
    Ok(LongRun { table, peak: megabytes(after.peak) })
}

/// Another template every second, until it is told to end.
async fn change_templates(folder: PathBuf) -> Result<()> {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    for version in 1.. {
        clock.tick().await;
        write_template(&folder, version)?;
    }
    Ok(())
}
