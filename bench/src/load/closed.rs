//! The closed loop: as many reviews under way as there are connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{Connection, Latencies, Run, Target};
use crate::process::Cpu;

/// Keeps `connections` connections busy for `time`. They are made, and used once, before the
/// clock starts.
pub async fn closed(target: &Arc<Target>, connections: usize, time: Duration) -> Result<Run> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(target).await?;
        connection.review().await?;
        open.push(connection);
    }
    let before = Cpu::of(target.pid)?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < time {
                let sent = Instant::now();
                connection.review().await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok((latencies, connection))
        });
    }
    let (mut latencies, mut kept) = (Vec::new(), Vec::new());
    while let Some(ended) = tasks.join_next().await {
        let (some, connection) = ended.context("a connection's task panicked")??;
        latencies.extend(some);
        // Closing them is no part of what is measured.
        kept.push(connection);
    }
    let elapsed = started.elapsed();
    let cpu = Cpu::of(target.pid)?.since(before);
    Ok(Run {
        reviews: latencies.len(),
        elapsed,
        cpu,
        latencies: Latencies::of(latencies),
        reconnects: 0,
    })
}
