//! From the machine into a namespace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::carry::both_ways;
use crate::guard::Guard;
use crate::server::Server;

/// An address of this machine whose connections come out in a [`Host`](super::Host).
///
/// A socket belongs to the namespace in which it was made. So a listener of the machine is handed to
/// a process in the host, as its standard input; that takes connections here, and makes them there.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    server: Server,
}

impl Door {
    /// `testbed` is a command that runs that program in the host.
    pub(crate) fn open(
        guard: &Guard,
        listener: TcpListener,
        mut testbed: Command,
        target: SocketAddr,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        testbed.args(["door", &target.to_string()]);
        let input = Stdio::from(OwnedFd::from(listener));
        let server = guard.spawn_with(&format!("door-{}", address.port()), &mut testbed, input)?;
        Ok(Self { address, server })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets it stay open when this value is dropped; it still ends with its guard.
    pub fn leave(self) {
        self.server.leave();
    }
}

/// A listener at a port of 127.0.0.1. People know it by its number; where it is taken, another will
/// do.
pub(crate) fn listener(port: u16) -> Result<TcpListener> {
    let loopback = Ipv4Addr::LOCALHOST;
    TcpListener::bind((loopback, port))
        .or_else(|_| TcpListener::bind((loopback, 0)))
        .context("no port of 127.0.0.1 is free")
}

/// Carries connections from the listener on standard input to `target`, until the process ends.
pub fn carry(target: SocketAddr) -> Result<()> {
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let listener = TcpListener::from(listener);
    listener.local_addr().context("standard input is no listener: a door is opened by a test")?;
    for client in listener.incoming() {
        let client = client?;
        thread::spawn(move || {
            // Who cannot be reached looks to the client as if it had hung up.
            TcpStream::connect(target).and_then(|server| both_ways(&client, &server))
        });
    }
    Ok(())
}
