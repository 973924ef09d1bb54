//! Requests at a fixed rate, all the time, each measured from when it was due.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::services::ECHO;

/// Between two requests.
const STEP: Duration = Duration::from_millis(1);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a proxy.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects.
    pub(crate) fn connect(proxy: SocketAddr) -> Result<Self> {
        let tcp = TcpStream::connect(proxy)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER))?;
        Ok(Self(tcp))
    }

    /// The status of the answer for a host. Its body has a length.
    pub(crate) fn get(&mut self, host: &str) -> Result<u16> {
        let request = format!("GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = self.0.read(&mut buffer)?;
            ensure!(count > 0, "the proxy has closed");
            answer.extend_from_slice(&buffer[..count]);
            let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Ok(0), |text| text.trim().parse())?;
            if answer.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).context("an answer has a status")?;
                return Ok(status.parse()?);
            }
        }
    }
}

/// A request that was answered: when it was due, and how long after that.
pub(crate) type Sample = (Instant, Duration);

/// A load that goes on.
#[derive(Debug)]
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Sample>>>,
}

impl Load {
    /// Starts asking for the service that answers.
    pub(crate) fn start(proxy: SocketAddr) -> Result<Self> {
        let mut client = Client::connect(proxy)?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut samples = Vec::with_capacity(1 << 16);
            let mut due = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let status = client.get(ECHO)?;
                ensure!(status == 200, "the service answered {status}");
                samples.push((due, due.elapsed()));
                due += STEP;
            }
            Ok(samples)
        });
        Ok(Self { over, thread })
    }

    /// Ends it. Any answer but 200 is an error.
    pub(crate) fn finish(self) -> Result<Vec<Sample>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the load panicked"))?
    }
}
