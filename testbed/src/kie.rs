//! A server that answers as ServiceComb kie does, or a real one.
//!
//! kie is not among the modules that can be had from a proxy of modules, so tests have what it
//! says: how it answers was taken down from a real one. With `KIE_ADDR=127.0.0.1:30110` they speak
//! with the server there instead, which may hold other keys: each test has labels of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The variable that names a real server.
pub const KIE_ADDR: &str = "KIE_ADDR";
/// How long it takes until what it lists by exact labels shows a change: it does so from a cache,
/// while its revision is the new one from the start.
const LAG: Duration = Duration::from_millis(50);
/// It refuses to wait for longer.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Labels and their values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A server of keys.
#[derive(Debug)]
pub struct Kie {
    address: String,
    imitated: Option<Arc<Imitation>>,
}

#[derive(Debug, Default)]
struct Imitation {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    pairs: Vec<Pair>,
    /// What was there before changes that are younger than [`LAG`], the oldest first.
    before: Vec<(Instant, Vec<Pair>)>,
    questions: usize,
    /// Connections are closed without a word.
    down: bool,
    /// No more connections.
    ended: bool,
}

#[derive(Debug, Clone)]
struct Pair {
    id: String,
    labels: BTreeMap<String, String>,
    key: String,
    value: String,
    kind: String,
    status: String,
}

impl Kie {
    /// The server that `KIE_ADDR` names, else one that answers as it does.
    pub fn start() -> Result<Self> {
        match std::env::var(KIE_ADDR) {
            Ok(address) => Ok(Self { address, imitated: None }),
            Err(_) => Self::imitated(0),
        }
    }

    /// One that answers as kie does, on `port`; 0 is any that is free.
    pub fn imitated(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?.to_string();
        let imitation = Arc::new(Imitation::default());
        let serving = Arc::clone(&imitation);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.state().ended {
                    return;
                }
                let serving = Arc::clone(&serving);
                // Whoever breaks off gets no answer, as from any server.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Ok(Self { address, imitated: Some(imitation) })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets a key under these labels be a text.
    pub fn set(&self, labels: Labels<'_>, key: &str, value: &str) -> Result<()> {
        self.set_as("text", labels, key, value)
    }

    /// Lets a key be a value of a kind, as in `yaml`.
    pub fn set_as(&self, kind: &str, labels: Labels<'_>, key: &str, value: &str) -> Result<()> {
        if let Some(id) = self.find(labels, key)? {
            let body = json!({"value": value, "status": "enabled"});
            return self.call("PUT", &format!("/{id}"), &body.to_string()).map(drop);
        }
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let status = "enabled";
        let body = json!({"key": key, "value": value, "value_type": kind, "labels": labels, "status": status});
        self.call("POST", "", &body.to_string()).map(drop)
    }

    /// Makes a key as kie does where nobody says that it is enabled.
    pub fn create_disabled(&self, labels: Labels<'_>, key: &str) -> Result<()> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let body = json!({"key": key, "value": "", "labels": labels});
        self.call("POST", "", &body.to_string()).map(drop)
    }

    /// Takes a key out.
    pub fn remove(&self, labels: Labels<'_>, key: &str) -> Result<()> {
        let id = self.find(labels, key)?.with_context(|| format!("kie has no {key}"))?;
        self.call("DELETE", &format!("/{id}"), "").map(drop)
    }

    /// How many questions the imitation was asked.
    pub fn questions(&self) -> usize {
        self.imitated.as_ref().map_or(0, |imitation| imitation.state().questions)
    }

    /// Lets the imitation close all connections without a word, or answer again.
    pub fn set_down(&self, down: bool) {
        if let Some(imitation) = &self.imitated {
            imitation.state().down = down;
            imitation.changed.notify_all();
        }
    }

    fn find(&self, labels: Labels<'_>, key: &str) -> Result<Option<String>> {
        // Not by exact labels: the store itself is asked, not the cache.
        let label = |(name, value): &(&str, &str)| format!("label={name}:{value}");
        let query = labels.iter().map(label).collect::<Vec<_>>().join("&");
        let found = self.call("GET", &format!("?{query}"), "")?;
        let found: Value = serde_json::from_str(&found)?;
        let pairs = found["data"].as_array().cloned().unwrap_or_default();
        let wanted: BTreeMap<_, _> = labels.iter().copied().collect();
        let wanted = json!(wanted);
        let pair = pairs.into_iter().find(|it| it["key"] == key && it["labels"] == wanted);
        Ok(pair.and_then(|pair| pair["id"].as_str().map(str::to_owned)))
    }

    fn call(&self, method: &str, rest: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)
            .with_context(|| format!("kie at {}", self.address))?;
        let (address, length) = (&self.address, body.len());
        write!(
            stream,
            "{method} /v1/default/kie/kv{rest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("kie gave no answer")?;
        if !head.starts_with("HTTP/1.1 20") {
            bail!("kie answered {method} {rest} with {answer}");
        }
        Ok(body.to_owned())
    }
}

impl Drop for Kie {
    fn drop(&mut self) {
        let Some(imitation) = &self.imitated else { return };
        {
            let mut state = imitation.state();
            (state.ended, state.down) = (true, true);
        }
        imitation.changed.notify_all();
        // Its thread waits for a connection.
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            drop(TcpStream::connect(address));
        }
    }
}

impl Imitation {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request of a connection; then it is closed.
    fn serve(&self, stream: TcpStream) -> Result<()> {
        if self.state().down {
            return Ok(());
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(id) = path.strip_prefix("/v1/default/kie/kv") else {
            return answer(stream, 404, None, "404 page not found");
        };
        match method {
            "GET" => self.list(stream, query),
            "POST" => {
                let asked: Value = serde_json::from_slice(&body)?;
                answer(stream, 200, None, &self.create(&asked).to_string())
            }
            _ => {
                let id = id.trim_start_matches('/');
                let asked = serde_json::from_slice(&body).unwrap_or_default();
                self.change(id, (method == "PUT").then_some(&asked));
                answer(stream, if method == "PUT" { 200 } else { 204 }, None, "{}")
            }
        }
    }

    fn create(&self, asked: &Value) -> Value {
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let labels = asked["labels"].as_object().cloned().unwrap_or_default();
        let label =
            |(name, value): (String, Value)| (name, value.as_str().unwrap_or("").to_owned());
        let mut state = self.state();
        state.about_to_change();
        let pair = Pair {
            id: format!("id{}", state.revision),
            labels: labels.into_iter().map(label).collect(),
            key: text("key"),
            value: text("value"),
            kind: text("value_type"),
            // What nobody enables is not.
            status: Some(text("status")).filter(|it| !it.is_empty()).unwrap_or("disabled".into()),
        };
        let shown = pair.shown();
        state.pairs.push(pair);
        self.changed.notify_all();
        shown
    }

    /// `None` deletes.
    fn change(&self, id: &str, asked: Option<&Value>) {
        let mut state = self.state();
        state.about_to_change();
        match asked {
            None => state.pairs.retain(|pair| pair.id != id),
            Some(asked) => {
                for pair in state.pairs.iter_mut().filter(|pair| pair.id == id) {
                    for (name, field) in [("value", &mut pair.value), ("status", &mut pair.status)]
                    {
                        if let Some(text) = asked[name].as_str() {
                            text.clone_into(field);
                        }
                    }
                }
            }
        }
        self.changed.notify_all();
    }

    fn list(&self, stream: TcpStream, query: &str) -> Result<()> {
        let (mut labels, mut revision, mut wait) = (BTreeMap::new(), None, None);
        let mut exact = false;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "label" => {
                    let (label, value) = value.split_once(':').unwrap_or((value, ""));
                    labels.insert(label.to_owned(), value.to_owned());
                }
                "match" => exact = value == "exact",
                "revision" => revision = Some(value.to_owned()),
                "wait" => wait = value.trim_end_matches('s').parse().map(Duration::from_secs).ok(),
                _ => {}
            }
        }
        if wait.is_some_and(|wait| wait > LONGEST_WAIT) {
            let refusal = json!({"errorCode": "400003", "errorMessage": "failed to observe event", "detail": "wait param should be formed with number and time unit like 5s,100ms, and less than 5m"});
            return answer(stream, 400, None, &refusal.to_string());
        }
        let meant = |pair: &&Pair| {
            let of_it = |label: (&String, &String)| pair.labels.get(label.0) == Some(label.1);
            labels.iter().all(of_it) && (!exact || pair.labels.len() == labels.len())
        };
        let held = |pairs: &[Pair]| -> Vec<Value> {
            pairs.iter().filter(meant).map(Pair::shown).collect()
        };
        let deadline = Instant::now() + wait.unwrap_or_default();
        let mut state = self.state();
        state.questions += 1;
        let before = held(&state.pairs);
        // The revision is one for everything; what is waited for is a change under these labels.
        let known = revision.as_deref() == Some(state.revision.to_string().as_str());
        while known && !state.down && held(&state.pairs) == before {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return answer(stream, 304, None, "");
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        if state.down {
            return Ok(());
        }
        let data = held(if exact { state.cached() } else { &state.pairs });
        let revision = state.revision;
        drop(state);
        answer(stream, 200, Some(revision), &json!({"total": data.len(), "data": data}).to_string())
    }
}

impl State {
    /// The revision is another one from now on, and the cache is as before for a while.
    fn about_to_change(&mut self) {
        self.revision += 1;
        self.before.retain(|(at, _)| at.elapsed() < LAG);
        self.before.push((Instant::now(), self.pairs.clone()));
    }

    fn cached(&self) -> &[Pair] {
        let young = self.before.iter().find(|(at, _)| at.elapsed() < LAG);
        young.map_or(&self.pairs, |(_, pairs)| pairs)
    }
}

impl Pair {
    fn shown(&self) -> Value {
        json!({
            "id": self.id, "key": self.key, "value": self.value, "value_type": self.kind,
            "status": self.status, "labels": self.labels,
        })
    }
}

fn answer(mut stream: TcpStream, status: u16, revision: Option<u64>, body: &str) -> Result<()> {
    let revision = revision.map_or_else(String::new, |it| format!("X-Kie-Revision: {it}\r\n"));
    let length = match status {
        204 | 304 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let body = if length.is_empty() { "" } else { body };
    write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{revision}{length}Connection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
