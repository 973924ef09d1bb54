//! Ports for servers that are told where to listen.

use std::net::TcpListener;

use anyhow::Result;

/// Ports of 127.0.0.1 that were free a moment ago, all different.
///
/// Another process may take one before it is bound; whoever starts a server on it has to say so
/// clearly or try again.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    // All are held at once, so that no two are the same.
    let mut held = Vec::with_capacity(COUNT);
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
