//! The connections of one worker, and when each of them has to end.
//!
//! No connection has a timer: once a second the worker looks at all of them. A request costs a
//! few stores for it, and ten thousand idle connections a millisecond each second.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::census::Counts;
use super::stream::Notes;
use crate::metrics::Carried;
use crate::settings::Limits;
use crate::traffic::{Alarm, Destination, Handover};

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
}

/// One connection from a client, as the rest of the worker sees it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where it comes from.
    pub(crate) client: SocketAddr,
    pub(crate) notes: Rc<Notes>,
    in_flight: Cell<u32>,
    /// When it was accepted or last answered; from a head's first byte on, when that came; while
    /// something is on its way, when that last moved.
    since: Cell<Duration>,
    head_began: Cell<bool>,
    /// What is on its way while something is in flight.
    way: Cell<Way>,
    /// Several requests may be under way at once: what is read tells nothing of when a head began.
    multiplexed: Cell<bool>,
    order: Cell<Option<Order>>,
    /// A response broke off: the client must not take the end of the connection for its end.
    broken: Cell<bool>,
    /// What the connection becomes when its last response has gone.
    handover: RefCell<Option<Box<Handover>>>,
    /// Where it leads, if a CONNECT said so.
    inside: OnceCell<Box<Destination>>,
    waker: RefCell<Option<Waker>>,
    /// For its requests, one after the other.
    alarm: Alarm,
}

/// What a connection is told from outside of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Answer what is in flight, then end.
    Finish,
    /// End now.
    Close,
    /// End now, whatever is in flight: nothing of it moves any more.
    BreakOff,
}

/// What is on its way through a connection, for how long it may stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// A request that waits for its response, with a deadline of its own.
    #[default]
    Request,
    /// The bodies of a request and of its response.
    Bodies,
    /// Bytes of another protocol, both ways.
    Tunnel,
    /// The same, one way: the other side has ended.
    HalfTunnel,
}

impl Way {
    /// How long nothing may move; `None`: that is not watched here.
    fn stands(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Request => None,
            Self::Bodies => Some(limits.body_timeout),
            Self::Tunnel => Some(limits.tunnel_timeout),
            Self::HalfTunnel => Some(limits.tunnel_timeout.min(limits.idle_timeout)),
        }
    }
}

impl Connections {
    pub(crate) fn add(&self, client: SocketAddr, now: Duration) -> (u64, Rc<Connection>) {
        let id = self.next.get();
        self.next.set(id + 1);
        let connection = Rc::new(Connection {
            client,
            notes: Rc::default(),
            in_flight: Cell::new(0),
            since: Cell::new(now),
            head_began: Cell::new(false),
            way: Cell::default(),
            multiplexed: Cell::new(false),
            order: Cell::new(None),
            broken: Cell::new(false),
            handover: RefCell::default(),
            inside: OnceCell::new(),
            waker: RefCell::default(),
            alarm: Alarm::default(),
        });
        self.open.borrow_mut().insert(id, Rc::clone(&connection));
        (id, connection)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.open.borrow_mut().remove(&id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Ends those whose time is over, and counts all of them.
    pub(crate) fn sweep(&self, now: Duration, limits: &Limits) -> Counts {
        let mut counts = Counts::default();
        for connection in self.open.borrow().values() {
            connection.sweep(now, limits);
            connection.count(&mut counts);
        }
        counts
    }

    /// What they have carried since this was last asked.
    pub(crate) fn carried(&self) -> Carried {
        let mut sum = Carried::default();
        for connection in self.open.borrow().values() {
            let Carried { received, sent } = connection.notes.carried.take();
            sum.received += received;
            sum.sent += sent;
        }
        sum
    }

    /// Ends those that have no request; the others as soon as it is answered.
    pub(crate) fn finish(&self) {
        for connection in self.open.borrow().values() {
            connection.tell(Order::Finish);
        }
    }

    /// Ends all of them.
    pub(crate) fn close(&self) {
        for connection in self.open.borrow().values() {
            connection.tell(Order::Close);
        }
    }

    /// Ends an eighth of those without a request, at least one: what waited longest.
    pub(crate) fn make_room(&self) {
        let open = self.open.borrow();
        let mut idle: Vec<_> = open.values().filter(|c| c.in_flight.get() == 0).collect();
        idle.sort_by_key(|connection| connection.since.get());
        for connection in idle.iter().take(idle.len().div_ceil(8)) {
            connection.tell(Order::Close);
        }
    }
}

impl Connection {
    /// A request came.
    pub(crate) fn begin(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// From `now` on, this is on its way; whenever it stands still for too long, the connection
    /// is told to break off.
    pub(crate) fn carries(&self, way: Way, now: Duration) {
        self.way.set(way);
        self.since.set(now);
    }

    /// What the connection becomes when the response that says so has gone. It is in flight from
    /// now on.
    pub(crate) fn hand_over(&self, to: Handover) {
        self.in_flight.set(self.in_flight.get() + 1);
        *self.handover.borrow_mut() = Some(Box::new(to));
    }

    /// Whether the next response is the last one before the connection becomes something else.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handover.borrow().is_some()
    }

    /// What it becomes, and for how long that is in flight.
    pub(crate) fn handover(self: &Rc<Self>) -> Option<(Handover, InFlight)> {
        let to = self.handover.borrow_mut().take()?;
        Some((*to, InFlight(Rc::clone(self))))
    }

    /// What its one task can be woken by. `None`: each request has a task of its own.
    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        (!self.is_multiplexed()).then_some(&self.alarm)
    }

    /// HTTP/2 is spoken on it.
    pub(crate) fn multiplexes(&self) {
        self.multiplexed.set(true);
    }

    /// Whether HTTP/2 is spoken on it.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.multiplexed.get()
    }

    /// Asks its client to take another connection for what it has not sent yet.
    pub(crate) fn leave(&self) {
        self.tell(Order::Finish);
    }

    /// From now on, its requests are for where a CONNECT said.
    pub(crate) fn enter(&self, destination: Destination) {
        let _ = self.inside.set(Box::new(destination));
    }

    /// Where a CONNECT said that it leads.
    pub(crate) fn inside(&self) -> Option<&Destination> {
        self.inside.get().map(|destination| &**destination)
    }

    /// A response broke off.
    pub(crate) fn break_off(&self) {
        self.broken.set(true);
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// What it is told, once. Called by its task, which is woken for the next.
    pub(crate) fn order(&self, cx: &Context<'_>) -> Option<Order> {
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
        self.order.take()
    }

    fn tell(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn count(&self, counts: &mut Counts) {
        let in_flight = self.in_flight.get() as usize;
        let tunnel = matches!(self.way.get(), Way::Tunnel | Way::HalfTunnel);
        counts.clients += 1;
        counts.idle_clients += usize::from(in_flight == 0);
        counts.http2_clients += usize::from(self.multiplexed.get());
        counts.tunnels += usize::from(tunnel && in_flight > 0);
        counts.in_flight += in_flight;
    }

    fn sweep(&self, now: Duration, limits: &Limits) {
        if self.in_flight.get() > 0 {
            return self.watch(now, limits);
        }
        let head_may_begin = self.notes.received.get() && !self.multiplexed.get();
        if head_may_begin && !self.head_began.replace(true) {
            self.since.set(now);
        }
        let allowed =
            if self.head_began.get() { limits.header_timeout } else { limits.idle_timeout };
        if now > self.since.get() + allowed {
            self.tell(Order::Close);
        }
    }

    /// Ends what stands still. Of many streams each may be silent for as long as it likes; that
    /// their client is there, HTTP/2 asks it itself.
    fn watch(&self, now: Duration, limits: &Limits) {
        if self.multiplexed.get() {
            return;
        }
        let moved = self.notes.moved.take();
        let Some(allowed) = self.way.get().stands(limits) else { return };
        if moved {
            self.since.set(now);
        } else if now > self.since.get() + allowed {
            self.tell(Order::BreakOff);
        }
    }
}

/// A request under way on a connection, until its response has gone.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Connection>);

impl InFlight {
    /// The response is gone at `now`, or its connection is.
    pub(crate) fn end(&self, now: Duration) {
        let connection = &self.0;
        connection.in_flight.set(connection.in_flight.get().saturating_sub(1));
        connection.since.set(now);
        connection.head_began.set(false);
        connection.notes.received.set(false);
        if connection.in_flight.get() == 0 {
            connection.way.set(Way::Request);
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::task::Context;
    use std::time::Duration;

    use super::{Connections, Counts, Order, Way};
    use crate::settings::Limits;

    fn client() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limits() -> Limits {
        Limits { header_timeout: at(10), idle_timeout: at(60), ..Limits::default() }
    }

    #[test]
    fn a_head_that_began_has_less_time_than_a_silent_connection() {
        let cx = Context::from_waker(std::task::Waker::noop());
        let table = Connections::default();
        let (_, silent) = table.add(client(), at(0));
        let (_, slow) = table.add(client(), at(0));
        let (_, busy) = table.add(client(), at(0));
        let request = busy.begin();
        slow.notes.received.set(true);
        for second in 1..=11 {
            table.sweep(at(second), &limits());
        }
        assert_eq!(slow.order(&cx), None, "its ten seconds began at the first look");
        table.sweep(at(12), &limits());
        assert_eq!(slow.order(&cx), Some(Order::Close));
        assert_eq!(silent.order(&cx), None);
        table.sweep(at(61), &limits());
        assert_eq!(silent.order(&cx), Some(Order::Close));
        assert_eq!(busy.order(&cx), None, "a request has deadlines of its own");
        request.end(at(61));
        table.sweep(at(62), &limits());
        assert_eq!(busy.order(&cx), None, "idling begins with the answer");
        table.sweep(at(122), &limits());
        assert_eq!(busy.order(&cx), Some(Order::Close));
    }

    #[test]
    fn what_is_on_its_way_may_not_stand_still_for_ever() {
        let cx = Context::from_waker(std::task::Waker::noop());
        let table = Connections::default();
        let (_, connection) = table.add(client(), at(0));
        let limits = Limits { body_timeout: at(20), tunnel_timeout: at(100), ..limits() };
        let request = connection.begin();
        table.sweep(at(1000), &limits);
        assert_eq!(connection.order(&cx), None, "a request has a deadline of its own");
        for (way, allowed) in [(Way::Bodies, 20), (Way::Tunnel, 100), (Way::HalfTunnel, 60)] {
            connection.carries(way, at(1000));
            connection.notes.moved.set(true);
            table.sweep(at(1010), &limits);
            table.sweep(at(1010 + allowed), &limits);
            assert_eq!(connection.order(&cx), None, "{way:?}");
            table.sweep(at(1011 + allowed), &limits);
            assert_eq!(connection.order(&cx), Some(Order::BreakOff), "{way:?}");
        }
        request.end(at(1200));
        table.sweep(at(1255), &limits);
        assert_eq!(connection.order(&cx), None, "it idles now");
    }

    #[test]
    fn a_look_counts_what_is_open() {
        let table = Connections::default();
        let open: Vec<_> = (0..4).map(|_| table.add(client(), at(0)).1).collect();
        let requests = [open[0].begin(), open[0].begin(), open[1].begin()];
        open[0].multiplexes();
        open[1].carries(Way::Tunnel, at(0));
        let counts = table.sweep(at(1), &limits());
        let expected = Counts {
            clients: 4,
            idle_clients: 2,
            http2_clients: 1,
            tunnels: 1,
            in_flight: 3,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        for request in requests {
            request.end(at(1));
        }
        let counts = table.sweep(at(2), &limits());
        assert_eq!((counts.idle_clients, counts.tunnels, counts.in_flight), (4, 0, 0));
    }

    #[test]
    fn room_is_made_by_what_waited_longest() {
        let cx = Context::from_waker(std::task::Waker::noop());
        let table = Connections::default();
        let open: Vec<_> = (0..9).map(|second| table.add(client(), at(second)).1).collect();
        let request = open[0].begin();
        table.make_room();
        let told: Vec<_> = open.iter().map(|c| c.order(&cx).is_some()).collect();
        assert_eq!(told.iter().position(|told| *told), Some(1), "the oldest idle one");
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        drop(request);
    }
}
