//! Connections from clients.

use std::fmt;

use mesh::Protocol;

use super::cells::Count;
use super::family::Writer;
use super::services::Sided;
use crate::listener::{Port, Side};
use crate::shared::Shared;
use crate::worker::Counts;

/// By side, what the port is for, and whether it speaks TLS.
const PLACES: usize = 8;

/// What one worker counts of its connections; on cache lines of its own, as [`super::Part`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Connections {
    opened: [Count; PLACES],
    closed: [Count; PLACES],
    received: Count,
    sent: Count,
}

/// Bytes that a connection has carried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Carried {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Connections {
    pub(crate) fn opens(&self, port: &Port) {
        self.opened[place(port.side, port.protocol, port.tls)].one();
    }

    pub(crate) fn closes(&self, port: &Port) {
        self.closed[place(port.side, port.protocol, port.tls)].one();
    }

    /// So much more has passed.
    pub(crate) fn carry(&self, more: Carried) {
        self.received.add(more.received);
        self.sent.add(more.sent);
    }
}

fn place(side: Side, protocol: Protocol, tls: bool) -> usize {
    side as usize * 4 + usize::from(protocol == Protocol::Grpc) * 2 + usize::from(tls)
}

pub(super) fn write(writer: &mut Writer<'_>, shared: &Shared) -> fmt::Result {
    let workers = &shared.connections;
    let sum = |count: &dyn Fn(&Connections) -> &Count| -> u64 {
        workers.iter().map(|worker| count(worker).get()).sum()
    };
    let each = |put: &mut dyn FnMut(Sided<'_>, u64, u64) -> fmt::Result| {
        for side in Side::ALL {
            for protocol in [Protocol::Rest, Protocol::Grpc] {
                for tls in [false, true] {
                    let at = place(side, protocol, tls);
                    let opened = sum(&|worker| &worker.opened[at]);
                    if opened > 0 {
                        let speaks = if tls { "true" } else { "false" };
                        let labels = [
                            ("side", side.word()),
                            ("protocol", protocol.as_str()),
                            ("tls", speaks),
                        ];
                        put(labels, opened, sum(&|worker| &worker.closed[at]))?;
                    }
                }
            }
        }
        Ok(())
    };
    writer.counter("mesher_connections_accepted", "Connections from clients", |family| {
        each(&mut |labels, opened, _| family.count(&labels, opened))
    })?;
    writer.gauge("mesher_connections", "Those of them that are open", |family| {
        each(&mut |labels, opened, closed| family.value(&labels, opened.saturating_sub(closed)))
    })?;
    let censuses = shared.censuses.get().map(Vec::as_slice).unwrap_or_default();
    let seen = |count: fn(&Counts) -> usize| {
        i64::try_from(censuses.iter().map(|census| count(&census.read())).sum::<usize>())
            .unwrap_or(i64::MAX)
    };
    let help = "Those of them without a request, a second ago at the most";
    writer.one_gauge("mesher_connections_idle", help, seen(|counts| counts.idle_clients))?;
    let help = "Connections to instances that wait for a request, a second ago at the most";
    let idle = seen(|counts| counts.idle_upstream);
    writer.one_gauge("mesher_upstream_connections_idle", help, idle)?;
    writer.counter("mesher_connection_bytes", "Bytes from clients and to them", |family| {
        family.count(&[("direction", "received")], sum(&|worker| &worker.received))?;
        family.count(&[("direction", "sent")], sum(&|worker| &worker.sent))
    })
}
