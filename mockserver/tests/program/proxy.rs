//! A small forward proxy, as a sidecar is one: it knows services by name.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::http::connect;
use crate::mock::PATIENCE;

/// A proxy on a thread of this process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    /// Addresses by `host:port`; what is not here is taken as an address itself.
    services: BTreeMap<String, SocketAddr>,
    /// `> service1:8080 /x` when a request comes, `< service1:8080 /x` when it was answered.
    events: Vec<String>,
    /// How many requests have to be there before any is answered.
    together: usize,
    /// How many are there.
    present: usize,
}

impl Proxy {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut client = stream;
                    if let Err(error) = state.exchange(&mut client) {
                        let text = format!("the proxy: {error:#}\n");
                        let _ = write!(
                            client,
                            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\
                             Connection: close\r\n\r\n{text}",
                            text.len()
                        );
                    }
                });
            }
        });
        Ok(Self { address, state })
    }

    /// What a variable or an option says to use it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads `service` (`host:port`) to `address`.
    pub(crate) fn lead(&self, service: &str, address: SocketAddr) {
        self.state.inside.lock().unwrap().services.insert(service.to_owned(), address);
    }

    /// Answers nothing from now on until `count` requests are there at the same time.
    pub(crate) fn gather(&self, count: usize) {
        self.state.inside.lock().unwrap().together = count;
    }

    /// What happened since this was last asked.
    pub(crate) fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.state.inside.lock().unwrap().events)
    }
}

impl State {
    fn exchange(&self, client: &mut TcpStream) -> Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let head = read_head(client)?;
        let (line, headers) = head.split_once("\r\n").context("no request line")?;
        let uri = line.strip_prefix("GET http://").context("not in absolute form, or no GET")?;
        let uri = uri.strip_suffix(" HTTP/1.1").context("not HTTP/1.1")?;
        let (service, path) = uri.split_at(uri.find('/').context("no path")?);
        let address = self.arrived(service, path)?;

        let mut upstream = connect(address)?;
        let kept = headers.lines().filter(|line| {
            !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:")
        });
        let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\nVia: 1.1 test\r\n");
        kept.for_each(|line| request.extend([line, "\r\n"]));
        request += "\r\n";
        upstream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        // Before the client has the answer: it may ask for the events next.
        let mut inside = self.inside.lock().unwrap();
        inside.events.push(format!("< {service} {path}"));
        inside.present -= 1;
        drop(inside);
        client.write_all(&answer)?;
        Ok(())
    }

    /// Notes a request, waits for those it is to be together with, and says where it goes.
    fn arrived(&self, service: &str, path: &str) -> Result<SocketAddr> {
        let mut inside = self.inside.lock().unwrap();
        inside.events.push(format!("> {service} {path}"));
        inside.present += 1;
        if inside.present >= inside.together {
            inside.together = 0;
        }
        self.changed.notify_all();
        let (inside, late) = self
            .changed
            .wait_timeout_while(inside, PATIENCE, |inside| inside.together > 0)
            .unwrap();
        if late.timed_out() {
            bail!("nobody came to be together with");
        }
        match inside.services.get(service) {
            Some(address) => Ok(*address),
            None => service.parse().with_context(|| format!("{service} is unknown")),
        }
    }
}

fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}
