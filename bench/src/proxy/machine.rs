//! The event loop that is both the load and the backends.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{Backlog, listen};

use super::backend::Backend;
use super::client::Client;
use super::{Call, SCENARIOS, Spoken, Wrong};
use crate::latencies::Latencies;
use crate::process::Cpu;

/// What one read takes.
const BUFFER: usize = 256 << 10;
/// How often the clock is looked at while nothing happens, in milliseconds.
const LOOK: u8 = 5;
/// For what is under way when a run is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// A generator of load, and two backends for each protocol.
#[derive(Debug)]
pub struct Machine {
    epoll: Epoll,
    slots: Vec<Slot>,
    /// Places of connections that are gone.
    free: Vec<usize>,
    /// Those of this turn: events may still speak of them.
    freed: Vec<usize>,
    buffer: Vec<u8>,
    backends: Vec<(Spoken, SocketAddr)>,
    call: Rc<Call>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Listener(TcpListener, Spoken),
    Backend(Backend),
    Client(Client),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// Whom to send it to.
    pub target: SocketAddr,
    /// What to send.
    pub call: &'a Rc<Call>,
    /// On how many connections.
    pub connections: usize,
    /// When to send it.
    pub pace: Pace,
    /// How long nothing is counted yet.
    pub warm_up: Duration,
    /// And how long it is.
    pub until: Until,
    /// The processes whose processor time is counted.
    pub watched: &'a [u32],
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The next when the last is answered.
    Closed,
    /// So many a second, however late the answers are; latencies count from when one was due.
    Open(f64),
    /// The same of more than can be answered. What finds no connection waits in the load, which no
    /// proxy can help: latencies count from when a request was sent, and when the time is over, what
    /// was not sent is not.
    Flood(f64),
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so long.
    Time(Duration),
    /// After so many requests.
    Requests(usize),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Requests that were answered as they should be.
    pub well: usize,
    /// Of these, those whose answer came while it was counted: what `elapsed` and `cpu` belong to.
    pub in_time: usize,
    /// Requests that were answered otherwise.
    pub ill: usize,
    /// Requests of a fixed rate that were never answered.
    pub unanswered: usize,
    /// How long was counted.
    pub elapsed: Duration,
    /// What the watched processes took meanwhile.
    pub cpu: Cpu,
    /// Of those that were answered well.
    pub latencies: Latencies,
}

/// A run that goes on.
struct Progress {
    pace: Pace,
    churn: bool,
    /// Requests that may still be begun.
    left: usize,
    /// Of a fixed rate: when the next is due, and those that are.
    next: Instant,
    due: VecDeque<Instant>,
    idle: Vec<usize>,
    busy: usize,
    /// Nothing new is begun.
    ending: bool,
    counts: bool,
    well: usize,
    ill: usize,
    latencies: Vec<Duration>,
}

impl Machine {
    /// Opens the backends.
    pub fn new() -> Result<Self> {
        let mut machine = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            slots: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            buffer: vec![0; BUFFER],
            backends: Vec::new(),
            call: Rc::new(Call::of(SCENARIOS[0])),
        };
        for spoken in [Spoken::Http1, Spoken::Http1, Spoken::Grpc, Spoken::Grpc] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            // The standard library has 128 wait at most.
            listen(&listener, Backlog::MAXALLOWABLE)?;
            machine.backends.push((spoken, listener.local_addr()?));
            machine.put(Slot::Listener(listener, spoken))?;
        }
        Ok(machine)
    }

    /// Where the two backends of a protocol are.
    pub fn backends(&self, spoken: Spoken) -> Vec<SocketAddr> {
        let these = self.backends.iter().filter(|(speaks, _)| *speaks == spoken);
        these.map(|(_, address)| *address).collect()
    }

    /// Does it. An error is one of the load, of the proxy's protocol or of the system; that
    /// answers were not as they should be stands in the result.
    pub fn run(&mut self, load: &Load<'_>) -> Result<Run> {
        self.call = Rc::clone(load.call);
        let before = self.clients();
        ensure!(before == 0, "{before} connections are left of another run");
        let run = self.drive(load);
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot], Slot::Client(_)) {
                self.remove(slot);
            }
        }
        // What they leave to the proxy, and it to the backends, is done before the next begins.
        let quiet = Instant::now() + Duration::from_millis(20);
        while Instant::now() < quiet {
            self.turn(EpollTimeout::from(LOOK), None)?;
        }
        run
    }

    fn clients(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Client(_))).count()
    }

    fn drive(&mut self, load: &Load<'_>) -> Result<Run> {
        let mut clients = Vec::with_capacity(load.connections);
        for _ in 0..load.connections {
            clients.push(self.connect(load)?);
        }
        let began = Instant::now();
        let mut progress = Progress::new(load, began, clients);
        let timeout =
            if load.pace == Pace::Closed { EpollTimeout::from(LOOK) } else { EpollTimeout::ZERO };
        let mut counting = None;
        let end = match load.until {
            Until::Time(time) => began + load.warm_up + time,
            Until::Requests(_) => began + Duration::from_hours(1),
        };
        loop {
            let now = Instant::now();
            if counting.is_none() && now >= began + load.warm_up {
                progress.counts = true;
                counting = Some((now, Cpu::of_all(load.watched)?));
            }
            if now >= end || progress.is_done() {
                break;
            }
            progress.look_at_the_clock(now, end);
            self.begin(&mut progress, now)?;
            self.turn(timeout, Some((&mut progress, load)))?;
        }
        let (from, cpu) = counting.context("the run ended before it was counted")?;
        let (elapsed, cpu) = (from.elapsed(), Cpu::of_all(load.watched)?.since(cpu));
        let in_time = progress.well;
        // What was due in time belongs to it, however late it is answered.
        let open = matches!(load.pace, Pace::Open(_));
        progress.counts = open;
        progress.ending = !open;
        if !open {
            progress.due.clear();
        }
        let deadline = Instant::now() + PATIENCE;
        while (progress.busy > 0 || !progress.due.is_empty()) && Instant::now() < deadline {
            self.begin(&mut progress, Instant::now())?;
            self.turn(timeout, Some((&mut progress, load)))?;
        }
        let unanswered = match load.pace {
            Pace::Closed => 0,
            Pace::Open(_) => progress.busy + progress.due.len(),
            Pace::Flood(_) => progress.busy,
        };
        Ok(Run {
            well: progress.well,
            in_time,
            ill: progress.ill,
            unanswered,
            elapsed,
            cpu,
            latencies: Latencies::of(progress.latencies),
        })
    }

    /// Gives what is due to whoever is idle.
    fn begin(&mut self, progress: &mut Progress, now: Instant) -> Result<()> {
        while let Some((slot, due)) = progress.next_of_all(now) {
            let Slot::Client(client) = &mut self.slots[slot] else { continue };
            client.begin(&self.call, due)?;
            if client.socket.is_stuck() {
                self.watch(slot)?;
            }
        }
        Ok(())
    }

    /// Waits for events, at most so long, and handles them.
    fn turn(
        &mut self,
        timeout: EpollTimeout,
        mut run: Option<(&mut Progress, &Load<'_>)>,
    ) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for event in &events[..count] {
            let slot = usize::try_from(event.data())?;
            let was_stuck = self.slots[slot].is_stuck();
            match &mut self.slots[slot] {
                Slot::Free => {}
                Slot::Listener(..) => self.accept(slot)?,
                Slot::Backend(backend) => match backend.turn(&mut self.buffer, &self.call) {
                    Ok(true) => {}
                    // A proxy may end its connections as it likes.
                    Ok(false) | Err(Wrong::System(_)) => self.remove(slot),
                    Err(wrong) => return Err(wrong).context("what a backend was sent"),
                },
                Slot::Client(client) => {
                    let answered = client.turn(&mut self.buffer, &self.call);
                    let answered = answered.context("what came of the proxy")?;
                    if let (Some(answered), Some((progress, load))) = (answered, &mut run) {
                        let now = Instant::now();
                        progress.note(answered.due, now, answered.well);
                        let slot = if progress.churn {
                            self.remove(slot);
                            if progress.ending { None } else { Some(self.connect(load)?) }
                        } else {
                            Some(slot)
                        };
                        progress.idle.extend(slot);
                        self.begin(progress, now)?;
                    }
                }
            }
            if was_stuck || self.slots[slot].is_stuck() {
                self.watch(slot)?;
            }
        }
        self.free.append(&mut self.freed);
        Ok(())
    }

    fn accept(&mut self, slot: usize) -> Result<()> {
        loop {
            let Slot::Listener(listener, spoken) = &self.slots[slot] else { return Ok(()) };
            // None is there any more, or it has gone again.
            let Ok((tcp, _)) = listener.accept() else { return Ok(()) };
            let backend = Backend::new(tcp, *spoken)?;
            self.put(Slot::Backend(backend))?;
        }
    }

    fn connect(&mut self, load: &Load<'_>) -> Result<usize> {
        let client = Client::connect(load.target, load.call.scenario.spoken);
        self.put(Slot::Client(client.with_context(|| format!("no connection to {}", load.target))?))
    }

    fn put(&mut self, new: Slot) -> Result<usize> {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let event = EpollEvent::new(EpollFlags::EPOLLIN, slot as u64);
        match &new {
            Slot::Free => {}
            Slot::Listener(listener, _) => self.epoll.add(listener, event)?,
            Slot::Backend(Backend { socket, .. }) | Slot::Client(Client { socket, .. }) => {
                self.epoll.add(socket.tcp(), event)?;
            }
        }
        if slot == self.slots.len() {
            self.slots.push(new);
        } else {
            self.slots[slot] = new;
        }
        Ok(slot)
    }

    /// Closing it takes it out of the event loop.
    fn remove(&mut self, slot: usize) {
        self.slots[slot] = Slot::Free;
        self.freed.push(slot);
    }

    /// Waits for room too, as long as something is stuck.
    fn watch(&mut self, slot: usize) -> Result<()> {
        let (Slot::Backend(Backend { socket, .. }) | Slot::Client(Client { socket, .. })) =
            &self.slots[slot]
        else {
            return Ok(());
        };
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, socket.is_stuck());
        Ok(self.epoll.modify(socket.tcp(), &mut EpollEvent::new(flags, slot as u64))?)
    }
}

impl Slot {
    fn is_stuck(&self) -> bool {
        match self {
            Self::Backend(Backend { socket, .. }) | Self::Client(Client { socket, .. }) => {
                socket.is_stuck()
            }
            Self::Free | Self::Listener(..) => false,
        }
    }
}

impl Progress {
    fn new(load: &Load<'_>, now: Instant, idle: Vec<usize>) -> Self {
        let left = match load.until {
            Until::Time(_) => usize::MAX,
            Until::Requests(count) => count,
        };
        Self {
            pace: load.pace,
            churn: load.call.scenario.churn,
            left,
            next: now,
            due: VecDeque::new(),
            idle,
            busy: 0,
            ending: false,
            counts: false,
            well: 0,
            ill: 0,
            latencies: Vec::with_capacity(1 << 18),
        }
    }

    /// Makes what a fixed rate asks for due.
    fn look_at_the_clock(&mut self, now: Instant, end: Instant) {
        let (Pace::Open(rate) | Pace::Flood(rate)) = self.pace else { return };
        let step = Duration::from_secs_f64(1.0 / rate);
        while self.next <= now && self.next < end && self.left > 0 {
            self.due.push_back(self.next);
            self.next += step;
            self.left -= 1;
        }
    }

    /// Who sends a request now, and when that was due.
    fn next_of_all(&mut self, now: Instant) -> Option<(usize, Instant)> {
        if self.ending || self.idle.is_empty() {
            return None;
        }
        let due = match self.pace {
            Pace::Closed if self.left > 0 => {
                self.left -= 1;
                now
            }
            Pace::Closed => return None,
            Pace::Open(_) => self.due.pop_front()?,
            Pace::Flood(_) => self.due.pop_front().map(|_| now)?,
        };
        self.busy += 1;
        self.idle.pop().map(|slot| (slot, due))
    }

    fn note(&mut self, due: Instant, now: Instant, well: bool) {
        self.busy -= 1;
        if !self.counts {
            return;
        }
        if well {
            self.well += 1;
            self.latencies.push(now - due);
        } else {
            self.ill += 1;
        }
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.busy == 0 && self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::named;

    /// The load finds the backends, in every scenario and at every pace.
    #[test]
    fn what_is_sent_is_answered() -> Result<()> {
        let mut machine = Machine::new()?;
        for scenario in SCENARIOS {
            let call = Rc::new(Call::of(scenario));
            for pace in [Pace::Closed, Pace::Open(2000.0)] {
                let run = machine.run(&Load {
                    target: machine.backends(scenario.spoken)[0],
                    call: &call,
                    connections: 3,
                    pace,
                    warm_up: Duration::ZERO,
                    until: Until::Requests(100),
                    watched: &[std::process::id()],
                })?;
                let name = scenario.name;
                assert_eq!((run.well, run.ill, run.unanswered), (100, 0, 0), "{name} {pace:?}");
                assert!(run.latencies.quantile(1.0) > Duration::ZERO, "{name}");
            }
        }
        Ok(())
    }

    /// All connections of a run are made before the first of them is accepted.
    #[test]
    fn many_connections_come_at_once() -> Result<()> {
        let mut machine = Machine::new()?;
        let call = Rc::new(Call::of(SCENARIOS[0]));
        let run = machine.run(&Load {
            target: machine.backends(Spoken::Http1)[0],
            call: &call,
            connections: 300,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            until: Until::Requests(1000),
            watched: &[],
        })?;
        assert_eq!((run.well, run.ill, run.unanswered), (1000, 0, 0));
        Ok(())
    }

    /// More than can be answered is answered after the end: no rate may count that.
    #[test]
    fn what_comes_late_is_no_throughput() -> Result<()> {
        let mut machine = Machine::new()?;
        let call = Rc::new(Call::of(SCENARIOS[0]));
        let run = machine.run(&Load {
            target: machine.backends(Spoken::Http1)[0],
            call: &call,
            connections: 3,
            pace: Pace::Open(1_000_000.0),
            warm_up: Duration::ZERO,
            until: Until::Time(Duration::from_millis(30)),
            watched: &[],
        })?;
        assert!(run.in_time < run.well, "{} of {}", run.in_time, run.well);
        Ok(())
    }

    /// What finds no connection is nobody's delay.
    #[test]
    fn a_flood_is_measured_from_where_it_is_let_in() -> Result<()> {
        let mut machine = Machine::new()?;
        let call = Rc::new(Call::of(SCENARIOS[0]));
        let mut run = |pace| {
            machine.run(&Load {
                target: machine.backends(Spoken::Http1)[0],
                call: &call,
                connections: 3,
                pace,
                warm_up: Duration::ZERO,
                until: Until::Time(Duration::from_millis(100)),
                watched: &[],
            })
        };
        let (open, flood) = (run(Pace::Open(1_000_000.0))?, run(Pace::Flood(1_000_000.0))?);
        assert!(flood.in_time > 0 && flood.unanswered == 0);
        assert!(flood.latencies.quantile(0.5) < open.latencies.quantile(0.5));
        Ok(())
    }

    /// A server that speaks otherwise, or gives another answer, is not taken for a proxy.
    #[test]
    fn another_answer_does_not_count() -> Result<()> {
        let mut machine = Machine::new()?;
        let call = Rc::new(Call::of(named("grpc-unary").map_err(anyhow::Error::msg)?));
        let load = Load {
            target: machine.backends(Spoken::Http1)[0],
            call: &call,
            connections: 1,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            until: Until::Requests(1),
            watched: &[],
        };
        assert!(machine.run(&load).is_err());
        Ok(())
    }
}
