//! How far a long listing is, on standard error: a line that rewrites itself on a terminal, else
//! one now and then.

use std::io::{IsTerminal, Write};

/// Off a terminal, so many objects of a kind make a line.
const LINE: usize = 10_000;

#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    /// Something stands in the line that rewrites itself.
    open: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), open: false }
    }

    /// So many objects of a kind have been read.
    pub(super) fn tell(&mut self, what: &str, read: usize) {
        // Nothing depends on it.
        let mut err = std::io::stderr();
        if self.terminal {
            self.open = true;
            let _ = write!(err, "\r\x1b[K{what}: {read} read");
        } else if read.is_multiple_of(LINE) {
            let _ = writeln!(err, "{what}: {read} read");
        }
    }

    /// Leaves a clean line.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
