//! Progress of long steps on stderr.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A step that says every few seconds that it still runs, and how it ended.
///
/// A step that is dropped without [`Step::done`] is reported as failed.
#[derive(Debug)]
pub struct Step {
    what: String,
    started: Instant,
    ticker: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Step {
    /// Starts `what`, for instance `building etcd (1 of 4)`.
    pub fn start(what: &str) -> Self {
        // A log keeps every line, so it gets few; a terminal overwrites its one.
        let terminal = stderr().is_terminal();
        let (first, next) = if terminal { (0, 1) } else { (2, 15) };
        let (stop, stopped) = mpsc::channel::<()>();
        let started = Instant::now();
        let text = what.to_owned();
        let ticker = thread::spawn(move || {
            let mut pause = Duration::from_secs(first);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{text} … {} s", started.elapsed().as_secs()), terminal);
                pause = Duration::from_secs(next);
            }
        });
        Self { what: what.to_owned(), started, ticker: Some((stop, ticker)) }
    }

    /// Says that the step is done and how long it took.
    pub fn done(self) {
        self.ended("done");
    }

    /// Says how the step ended, for instance `5 passed`, and how long it took.
    pub fn ended(mut self, how: &str) {
        self.finish(how);
    }

    /// Ends without a word, when there was nothing to do after all.
    pub fn hush(mut self) {
        if let Some((stop, ticker)) = self.ticker.take() {
            drop(stop);
            let _ = ticker.join();
            if stderr().is_terminal() {
                say("", true);
            }
        }
    }

    fn finish(&mut self, how: &str) {
        let Some((stop, ticker)) = self.ticker.take() else {
            return;
        };
        drop(stop);
        let _ = ticker.join();
        let elapsed = self.started.elapsed().as_secs_f64();
        say(&format!("{}: {how} in {elapsed:.1} s", self.what), stderr().is_terminal());
        if stderr().is_terminal() {
            let _ = writeln!(stderr());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.finish("failed");
    }
}

/// One line; on a terminal it stays open to be overwritten. A closed stderr is no
/// reason to fail.
fn say(line: &str, terminal: bool) {
    let _ =
        if terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "{line}") };
}
