//! Lines on their way to standard error, which may take its time: a disk that is busy, a reader that
//! is slow. A review leaves its line here and goes on; a thread writes what has gathered at once.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long lines gather: at thousands a second, dozens are written at once.
const GATHER: Duration = Duration::from_millis(5);
/// With so many bytes waiting, whoever writes a line waits too: none is lost.
const MOST: usize = 1 << 20;
/// Room that is kept from one write to the next.
const KEPT: usize = 64 << 10;

/// Where lines are left.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is a line, or the end.
    something: Condvar,
    /// What waited was taken away.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    ended: bool,
}

/// The thread that writes. Dropped, everything left so far is written; lines that come later are
/// written by whoever brings them.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Lines that go to `out`.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let shared = Arc::new(Shared::default());
        let source = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("log".to_owned()).spawn(move || source.write(out))?;
        let lines = Self(Arc::clone(&shared));
        Ok((lines, Writer { shared, thread: Some(thread) }))
    }
}

/// One call is one line.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shared = &self.0;
        let full = |waiting: &mut Waiting| waiting.bytes.len() > MOST && !waiting.ended;
        let mut waiting =
            shared.room.wait_while(shared.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if waiting.ended {
            return io::stderr().write(line);
        }
        waiting.bytes.extend_from_slice(line);
        if waiting.bytes.len() == line.len() {
            shared.something.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let nothing = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.ended;
            let waiting = self.something.wait_while(self.lock(), nothing);
            if !waiting.unwrap_or_else(PoisonError::into_inner).ended {
                thread::sleep(GATHER);
            }
            let mut waiting = self.lock();
            mem::swap(&mut waiting.bytes, &mut taken);
            let ended = waiting.ended;
            drop(waiting);
            self.room.notify_all();
            // Whoever closed standard error wants no lines.
            let _ = out.write_all(&taken);
            taken.clear();
            taken.shrink_to(KEPT);
            if ended {
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.something.notify_one();
        self.shared.room.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

    /// Tells what is written, by call.
    struct Out(Sender<Vec<u8>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Tells how much is written, by call.
    struct Slow(SyncSender<usize>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.len()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_whole_in_order_and_all_of_them() {
        let (send, receive) = channel();
        let (lines, writer) = Lines::to(Out(send)).unwrap();
        let leave = |thread: usize| {
            let mut lines = lines.clone();
            thread::spawn(move || {
                for number in 0..20_000 {
                    lines.write_all(format!("{thread} {number}\n").as_bytes()).unwrap();
                }
            })
        };
        for thread in [0, 1, 2, 3].map(leave) {
            thread.join().unwrap();
        }
        drop(writer);
        let text = String::from_utf8(receive.into_iter().flatten().collect()).unwrap();
        let mut next = [0; 4];
        for line in text.lines() {
            let (thread, number) = line.split_once(' ').unwrap();
            let expected = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number, expected.to_string());
            *expected += 1;
        }
        assert_eq!(next, [20_000; 4]);
    }

    #[test]
    fn a_line_is_written_without_another_that_follows() {
        let (send, receive) = channel();
        let (mut lines, _writer) = Lines::to(Out(send)).unwrap();
        for line in [&b"first\n"[..], b"second\n"] {
            lines.write_all(line).unwrap();
            assert_eq!(receive.recv().unwrap(), line);
        }
    }

    #[test]
    fn a_slow_reader_holds_lines_up_and_loses_none() {
        // Nothing is written before it is received.
        let (send, receive) = sync_channel(0);
        let (mut lines, writer) = Lines::to(Slow(send)).unwrap();
        let sender = thread::spawn(move || {
            for _ in 0..5 {
                lines.write_all(&vec![b'x'; MOST]).unwrap();
            }
            drop(writer);
        });
        assert_eq!(receive.into_iter().sum::<usize>(), 5 * MOST);
        sender.join().unwrap();
    }
}
