//! Ports for servers that are told where to listen.

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Where they are looked for: above what systems use, below what our programs have by default.
const RANGE: Range<u16> = 10_000..30_000;

/// Ports of 127.0.0.1 that were free a moment ago, all different.
///
/// They lie below those that the system gives to outgoing connections, as a scenario with
/// thousands of these would sooner or later have one of them on a port that a server is about to
/// take, or to take again. Another process may still be faster; whoever starts a server on a port
/// has to say so clearly or try again.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    for port in &mut ports {
        *port = next_free()?;
    }
    Ok(ports)
}

/// No port is given twice before all others were, and processes begin at different ones.
fn next_free() -> Result<u16> {
    static BEGIN: OnceLock<Range<u16>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = BEGIN.get_or_init(range);
    let count = u32::from(range.end - range.start);
    let first = process::id().wrapping_mul(997);
    for _ in 0..count {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = range.start + u16::try_from(number)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    None.with_context(|| format!("no port of 127.0.0.1 is free in {range:?}"))
}

/// [`RANGE`], without what the system gives away itself.
fn range() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest = text.split_whitespace().next().and_then(|word| word.parse().ok());
    let end = lowest.filter(|lowest| *lowest > RANGE.start + 1_000).unwrap_or(RANGE.end);
    RANGE.start..end.min(RANGE.end)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::free_ports;

    #[test]
    fn they_are_different_and_free() {
        let ports: [u16; 64] = free_ports().expect("so many");
        let mut sorted = ports;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|two| two[0] != two[1]), "{ports:?}");
        let held: Vec<_> = ports.map(|port| TcpListener::bind(("127.0.0.1", port))).into();
        let free = held.iter().filter(|listener| listener.is_ok()).count();
        assert!(free >= 60, "another process took {} of them", 64 - free);
        let others: [u16; 64] = free_ports().expect("so many more");
        assert!(others.iter().all(|port| !ports.contains(port)));
    }
}
