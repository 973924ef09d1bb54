//! Where connections come in.

mod accept;
mod addresses;

use std::io;
use std::net::{SocketAddr, TcpListener};

use mesh::Protocol;
use socket2::{Domain, Socket, Type};

pub(crate) use self::accept::accept;
pub use self::addresses::Addresses;
pub(crate) use self::addresses::listen;
use crate::error::Error;
use crate::tls::tags::Use;

/// Connections that the system keeps for us while we are busy.
const BACKLOG: i32 = 4096;

/// Which way requests go that come in at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// From the application, to instances of other services.
    Consumer,
    /// From others, to the application.
    Provider,
}

/// A listener, as its connections know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port {
    pub(crate) side: Side,
    /// What endpoints are asked to speak.
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Whether TLS comes before everything else.
    pub(crate) tls: bool,
}

impl Side {
    /// Both, in their order.
    pub(crate) const ALL: [Self; 2] = [Self::Consumer, Self::Provider];

    /// How metrics and logs call it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Provider => "provider",
        }
    }

    /// How `tls.yaml` calls its listeners.
    pub(crate) fn tls(self) -> Use<'static> {
        match self {
            Self::Consumer => Use::ConsumerSide,
            Self::Provider => Use::ProviderSide,
        }
    }
}

/// Opens a listener that nobody else shares: with `SO_REUSEPORT` a second proxy would silently
/// take half of the connections.
pub(crate) fn bind(address: SocketAddr, what: &'static str) -> Result<TcpListener, Error> {
    open(address).map_err(|reason| Error::Listen { address, what, reason })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // So that a restart need not wait for the old connections' last minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` is every address there is; any other is one of IPv6, and has IPv4 beside it.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
