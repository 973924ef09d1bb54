//! The first process of a pod's sandbox: it holds the pod's namespaces open until it is told to
//! end, and where containers share their processes, it takes in those whose parents have ended.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

fn main() -> ExitCode {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM] {
        signals.add(signal);
    }
    // Blocked, a signal waits until it is asked for: none is lost between two questions.
    if let Err(error) = signals.thread_block() {
        eprintln!("pause: cannot wait for signals: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        // What ended before we asked sends no signal any more.
        reap();
        match signals.wait() {
            Ok(Signal::SIGCHLD) | Err(Errno::EINTR) => {}
            Ok(_) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pause: cannot wait for signals: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Takes in all that have ended; one signal may stand for several.
fn reap() {
    let every = None;
    while let Ok(status) = waitpid(every, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
