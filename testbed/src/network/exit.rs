//! From a namespace to the machine.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use super::PATIENCE;
use crate::carry::both_ways;
use crate::guard::Guard;
use crate::server::Server;

/// What either half prints once it listens.
const OPEN: &str = "open\n";

/// An address of a [`Host`](super::Host) whose connections come out on this machine.
///
/// A network namespace has sockets of its own, but files are shared: a process in the host takes
/// connections and makes them to a socket in the guard's folder, from which one on the machine goes on.
#[derive(Debug)]
pub struct Exit {
    inside: Server,
    outside: Server,
}

impl Exit {
    /// `inside` runs the program `testbed` in the host, where it listens at `address`; `testbed` is that
    /// program on this machine.
    pub(super) fn open(
        guard: &Guard,
        mut inside: Command,
        testbed: &Path,
        address: SocketAddr,
        target: SocketAddr,
    ) -> Result<Self> {
        let name = format!("exit-{}-{}", address.ip(), address.port());
        let socket = guard.folder().join(format!("{name}.sock"));
        let mut outside = Command::new(testbed);
        outside.arg("exit-outside").arg(&socket).arg(target.to_string());
        let outside = guard.spawn(&format!("{name}-outside"), &mut outside)?;
        outside.wait_until("open", PATIENCE, || outside.log().ends_with(OPEN))?;
        inside.arg("exit-inside").arg(address.to_string()).arg(&socket);
        let inside = guard.spawn(&name, &mut inside)?;
        inside.wait_until("open", PATIENCE, || inside.log().ends_with(OPEN))?;
        Ok(Self { inside, outside })
    }

    /// Lets it stay open when this value is dropped; it still ends with its guard.
    pub fn leave(self) {
        self.inside.leave();
        self.outside.leave();
    }
}

/// The half of an [`Exit`] that is in the host: carries connections from `address` to the socket.
pub fn carry_inside(address: SocketAddr, socket: &Path) -> Result<()> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    io::stdout().write_all(OPEN.as_bytes())?;
    for client in listener.incoming() {
        let (client, socket) = (client?, socket.to_owned());
        thread::spawn(move || {
            UnixStream::connect(socket).and_then(|server| both_ways(&client, &server))
        });
    }
    Ok(())
}

/// The half that is on the machine: carries connections from the socket to `target`.
pub fn carry_outside(socket: &Path, target: SocketAddr) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("cannot listen at {}", socket.display()))?;
    io::stdout().write_all(OPEN.as_bytes())?;
    for client in listener.incoming() {
        let client = client?;
        thread::spawn(move || {
            TcpStream::connect(target).and_then(|server| both_ways(&client, &server))
        });
    }
    Ok(())
}
