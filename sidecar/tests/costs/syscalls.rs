//! Counts the system calls of a proxy's worker, from another process, as `strace` does.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Tells a copy of this test to be the proxy, and where its application is.
const SERVE: &str = "MESHER_COSTS_SERVE";
/// Before its address, in the output of that copy.
const LISTENING: &str = "listening on ";

/// What a thread asked of the system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    /// Those that wake another thread: one that waits for a lock, or for its event loop. Sockets
    /// are written to by other calls. `None`: this processor's registers are not known here.
    pub(crate) wakes: Option<u64>,
}

/// A process that is killed when this is dropped.
pub(crate) struct Served(Child);

impl Served {
    /// Ends it by a signal that leaves time for a last word.
    pub(crate) fn end(&mut self) {
        let pid = Pid::from_raw(self.0.id().try_into().expect("a process id"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // A thread that is traced has to be waited for too, or the process never ends.
        while waitpid(None, Some(WaitPidFlag::__WALL)).is_ok() {}
    }
}

/// A proxy in a process of its own: this program again.
pub(crate) fn spawn(application: SocketAddr) -> (Served, SocketAddr) {
    let program = env::current_exe().expect("this program's path");
    start(application, &mut Command::new(program))
}

/// The same by a command whose last argument is this program.
pub(crate) fn start(application: SocketAddr, command: &mut Command) -> (Served, SocketAddr) {
    let mut child = command
        .args(["--exact", "serve", "--nocapture"])
        .env(SERVE, application.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let stdout = child.stdout.take().expect("it was asked for");
    let served = Served(child);
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        if let Some((_, address)) = line.split_once(LISTENING) {
            return (served, address.trim().parse().expect("an address"));
        }
    }
    panic!("the proxy did not say where it listens");
}

/// Is the proxy, if this process was started as one.
pub(crate) fn serve_if_asked() {
    let Ok(application) = env::var(SERVE) else { return };
    let (_runtime, _proxy, address) = super::start(application.parse().expect("an address"));
    println!("{LISTENING}{address}");
    loop {
        thread::park();
    }
}

/// The system calls that the worker makes while `load` runs. The error says what this machine
/// does not allow.
pub(crate) fn count(
    served: &Served,
    load: impl FnOnce() + Send + 'static,
) -> Result<Counted, String> {
    let worker = worker(served.0.id());
    let denied = |errno: Errno| format!("ptrace is not allowed here: {errno}");
    ptrace::seize(worker, ptrace::Options::PTRACE_O_TRACESYSGOOD).map_err(denied)?;
    ptrace::interrupt(worker).map_err(denied)?;
    let done = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&done);
    let mut load = Some(load);
    let (mut stops, mut wakes) = (0, Some(0));
    let mut running = None;
    loop {
        match waitpid(worker, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceSyscall(_)) => {
                stops += 1;
                let is_wake = number(worker).map(|number| WAKES.contains(&number));
                wakes = wakes.zip(is_wake).map(|(count, is_wake)| count + u64::from(is_wake));
            }
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => panic!("the proxy ended"),
            Ok(_) => {}
            Err(errno) => panic!("waiting for the worker: {errno}"),
        }
        if let Some(load) = load.take() {
            let tell = Arc::clone(&tell);
            running = Some(thread::spawn(move || {
                let _done = Done(tell);
                load();
            }));
        }
        if done.load(Ordering::SeqCst) {
            ptrace::detach(worker, None).expect("the worker goes on");
            break;
        }
        ptrace::syscall(worker, None).expect("the worker goes on");
    }
    running.expect("it was started").join().expect("every request is answered");
    // Each call stops twice, before and after.
    Ok(Counted { calls: stops / 2, wakes: wakes.map(|stops| stops / 2) })
}

/// A lock or a condition, and the counter by which an event loop is woken.
const WAKES: [i64; 2] = [nix::libc::SYS_futex, nix::libc::SYS_write];

/// The call that a thread has stopped at.
#[cfg(target_arch = "x86_64")]
fn number(thread: Pid) -> Option<i64> {
    i64::try_from(ptrace::getregs(thread).ok()?.orig_rax).ok()
}

/// The call that a thread has stopped at.
#[cfg(not(target_arch = "x86_64"))]
fn number(_: Pid) -> Option<i64> {
    None
}

/// Says at its end, also after a panic, that the load is done.
struct Done(Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The thread that carries traffic.
fn worker(process: u32) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
    for task in tasks {
        let task = task.expect("an entry");
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim() == "worker-0" {
            let id = task.file_name().to_string_lossy().parse().expect("a number");
            return Pid::from_raw(id);
        }
    }
    panic!("the proxy has no worker");
}
