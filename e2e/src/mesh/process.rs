//! What a process has at the moment.

use std::fs;

use anyhow::{Context, Result};
use testbed::Server;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of its own, in RAM: `RssAnon`. The program's own file is not counted.
    pub anonymous: u64,
    /// The most that was ever in RAM, its file included: `VmHWM`.
    pub peak: u64,
}

impl Memory {
    /// What `server` has.
    pub fn of(server: &Server) -> Result<Self> {
        let path = format!("/proc/{}/status", server.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            let kib: u64 = number.with_context(|| format!("no {name} in {path}"))?.parse()?;
            Ok::<_, anyhow::Error>(kib << 10)
        };
        Ok(Self { anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
    }
}

/// How many files and sockets `server` has open.
pub fn descriptors(server: &Server) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count())
}
