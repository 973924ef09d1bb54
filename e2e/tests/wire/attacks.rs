//! R36: what a hostile caller may try, and what it may cost.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::injector::{Injector, PATIENCE, tls_folder};
use e2e::wire::Reply;
use serde_json::{Value, json};

use crate::data::{V1, patch, response, shared, v1};

/// What the injector may take under attack: 64 MiB all told, of which its own file may be 16.
const MOST_MEMORY: u64 = (64 - 16) << 20;

/// The request [`V1`] with `text` in place of its object.
fn with_object(text: &[u8]) -> Result<Vec<u8>> {
    let frame = v1(|review| review["request"]["object"] = "OBJECT".into())?;
    let frame = String::from_utf8(frame)?;
    let (before, after) = frame.split_once("\"OBJECT\"").context("the place of the object")?;
    Ok([before.as_bytes(), text, after.as_bytes()].concat())
}

fn answers_as_ever(injector: &Injector) -> Result<()> {
    let response = response(injector, V1)?;
    ensure!(response["auditAnnotations"]["decision"] == "injected", "{response}");
    Ok(())
}

#[test]
fn r36_hostile_bodies_get_a_clear_status() -> Result<()> {
    let deep = |count: usize| [b"[".repeat(count), b"]".repeat(count)].concat();
    let uid = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"#;
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("deep nesting", with_object(&deep(10_000))?, 400),
        ("deep nesting, unclosed", b"[".repeat(100_000), 400),
        ("deep nesting of objects", with_object(&b"{\"a\":".repeat(10_000))?, 400),
        ("just deep enough", with_object(&deep(100))?, 200),
        ("invalid UTF-8 in a value", with_object(b"{\"a\":\"\xff\xfe\"}")?, 400),
        ("invalid UTF-8 in a key", with_object(b"{\"\xc3\x28\":1}")?, 400),
        ("half a surrogate pair", with_object(br#"{"a":"\ud800"}"#)?, 400),
        ("a control character", with_object(b"{\"a\":\"\x00\"}")?, 400),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), V1].concat(), 400),
        ("UTF-16", V1.iter().flat_map(|b| [*b, 0]).collect(), 400),
        ("too large a number", with_object(br#"{"a":1e999}"#)?, 400),
        (
            "the largest numbers",
            with_object(br#"{"a":1e308,"b":-1e308,"c":18446744073709551615}"#)?,
            200,
        ),
        (
            "a number of many digits",
            with_object(&[b"1".repeat(300), b"e-300".to_vec()].concat())?,
            200,
        ),
        ("no number", with_object(b"NaN")?, 400),
        ("two requests", format!(r#"{uid}"a"}},"request":{{"uid":"b"}}}}"#).into(), 400),
        ("two uids", format!(r#"{uid}"a","uid":"b"}}}}"#).into(), 400),
        ("two values of a key in the object", with_object(br#"{"a":1,"a":2}"#)?, 200),
        ("more after the end", [V1, b"{}"].concat(), 400),
        ("cut short", V1[..V1.len() - 2].to_vec(), 400),
        ("many small arrays", with_object(&many(b"[]"))?, 413),
        ("many small objects", with_object(&many(b"{\"a\":0}"))?, 413),
        ("many numbers", with_object(&many(b"1"))?, 413),
        ("many small values that are skipped", many(b"[]"), 413),
    ];
    let mut http2 = shared()?.http2()?;
    for (name, body, status) in cases {
        let reply: Reply = shared()?.review(&body)?;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert!(reply.body.len() < 2000, "{name}: the answer does not repeat the request");
        assert_eq!(http2.post("/mutate", &body)?.status, status, "{name} on HTTP/2");
    }
    answers_as_ever(shared()?)
}

/// Six megabytes of one value.
fn many(value: &[u8]) -> Vec<u8> {
    let value = [value, b","].concat();
    let list = value.repeat(6_000_000 / value.len());
    [b"[", &list[..list.len() - 1], b"]"].concat()
}

#[test]
fn r36_numbers_survive_as_they_were_written() -> Result<()> {
    let numbers =
        json!({"runAsUser": 9_007_199_254_740_993_i64, "runAsGroup": i64::MAX, "x": 1e308});
    let body = v1(|review| {
        review["request"]["object"]["spec"]["securityContext"] = numbers;
    })?;
    let response = response(shared()?, &body)?;
    let operations = patch(&response)?.context("a patch")?;
    let touched = |operation: &Value| {
        let path = operation["path"].as_str().unwrap_or_default();
        path.is_empty() || path == "/spec" || path.starts_with("/spec/securityContext")
    };
    assert!(!operations.iter().any(touched), "{operations:?}");
    Ok(())
}

/// The status with which `request` is refused. The server closes without reading the rest, so the
/// system may throw the answer away with it: then it is asked again.
fn status_of(request: &str) -> Result<u16> {
    let mut last = None;
    for _ in 0..20 {
        match shared()?.http1()?.exchange(request.as_bytes()) {
            Ok(reply) => return Ok(reply.status),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("tried")?.context("never a status"))
}

#[test]
fn r36_heads_that_are_too_long_are_refused() -> Result<()> {
    let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let long = format!("{head}x-long: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("{head}{}\r\n", "x-one: 1\r\n".repeat(1_000));
    let target = format!("POST /mutate?{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    for request in [long, many, target] {
        let status = status_of(&request)?;
        assert!(matches!(status, 414 | 431), "{request:.80}: {status}");
    }
    for rubbish in [
        "\r\n\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "POST /mutate HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut http1 = shared()?.http1()?;
        http1.send(rubbish.as_bytes())?;
        // 400, or no answer at all; in any case the end.
        if let Ok(reply) = http1.reply() {
            assert!(reply.status >= 400, "{rubbish:?}: {}", reply.status);
        }
    }
    let both = format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    let two = format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\n{{}}");
    for smuggled in [both, two] {
        let reply = shared()?.http1()?.exchange(smuggled.as_bytes())?;
        assert_eq!(reply.status, 400, "{smuggled}");
    }
    answers_as_ever(shared()?)
}

/// B19: the original had no time limits.
#[test]
fn r36_who_is_slow_is_cut_off() -> Result<()> {
    let injector = Injector::start(
        "limits: {handshakeTimeout: 300ms, headerTimeout: 300ms, bodyTimeout: 300ms, idleTimeout: 300ms}",
    )?;
    // No handshake.
    let mut silent = TcpStream::connect(injector.webhook())?;
    silent.set_read_timeout(Some(PATIENCE))?;
    assert_eq!(std::io::Read::read(&mut silent, &mut [0; 1]).unwrap_or(0), 0);
    // No head, and a head a byte at a time.
    assert!(injector.http1()?.is_closed_by_server());
    let mut dripping = injector.http1()?;
    let dripped = b"POST /mutate HTTP/1.1\r\nx-drip: ".iter().chain(std::iter::repeat(&b'x'));
    let cut = dripped.take(3_000).any(|byte| {
        thread::sleep(std::time::Duration::from_millis(20));
        dripping.send(&[*byte]).is_err()
    });
    assert!(cut, "a head that takes a minute");
    // A body that stops.
    let mut stopping = injector.http1()?;
    let reply = stopping.exchange(
        b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    )?;
    assert_eq!(reply.status, 408);
    // Nothing after an answer.
    let mut idle = injector.http1()?;
    assert_eq!(idle.post("/mutate", V1)?.status, 200);
    assert!(idle.is_closed_by_server());
    injector.http2()?.closed_by_server()?;
    answers_as_ever(&injector)
}

#[test]
fn r36_at_the_limit_of_connections_the_newcomer_is_served() -> Result<()> {
    let injector = Injector::start("limits: {connections: 8}")?;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(TcpStream::connect(injector.webhook())?);
        held.push(TcpStream::connect(injector.webhook())?);
        answers_as_ever(&injector)?;
    }
    assert!(injector.metric("sidecar_injector_connections_evicted_total")? > 0);
    assert!(injector.metric("sidecar_injector_connections")? <= 8);
    Ok(())
}

#[test]
fn r36_without_file_descriptors_it_recovers() -> Result<()> {
    // A shell sets the limit for itself and becomes the injector.
    let injector = Injector::start_with("", |command, _| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", "ulimit -n 48; exec \"$0\" \"$@\""]).arg(program).args(arguments);
        limited.env_clear();
        *command = limited;
        Ok(())
    })?;
    let held: Vec<_> =
        (0..100).map(|_| TcpStream::connect(injector.webhook())).collect::<Result<_, _>>()?;
    injector.server().wait_until("answering with 100 connections held", PATIENCE, || {
        answers_as_ever(&injector).is_ok()
    })?;
    drop(held);
    answers_as_ever(&injector)?;
    assert!(injector.metric("sidecar_injector_accept_failures_total")? > 0);
    Ok(())
}

/// A process that floods until it is told to stop.
struct Flood(Child);

impl Flood {
    fn start(injector: &Injector, count: usize) -> Result<Self> {
        let flood = Command::new(env!("CARGO_BIN_EXE_flood"))
            .arg(injector.webhook().to_string())
            .args([count.to_string(), "700".into()])
            .arg(tls_folder(injector.folder()).join("ca.crt"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(flood))
    }

    /// Waits until all its attempts are made; it then still holds its connections.
    fn wait(&mut self) -> Result<()> {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().context("its output")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.contains("attempts"), "the flood ended early: {line:?}");
        Ok(())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn r36_ten_thousand_connections_and_costly_bodies_leave_it_small_and_answering() -> Result<()> {
    let injector = Injector::start("")?;
    answers_as_ever(&injector)?;
    // Four processes, so that none needs more file descriptors than a user has.
    let mut floods = Vec::new();
    for _ in 0..4 {
        floods.push(Flood::start(&injector, 2_500)?);
    }
    thread::scope(|scope| -> Result<()> {
        let bodies = [many(b"[]"), many(b"{\"a\":0}"), vec![b' '; 6 << 20], b"[".repeat(300_000)];
        let costly = bodies.map(|body| {
            let injector = &injector;
            scope.spawn(move || {
                for _ in 0..5 {
                    // What becomes of it does not matter, and no more that it is cut off.
                    let _ = injector.review(&body);
                }
            })
        });
        for flood in &mut floods {
            flood.wait()?;
        }
        for thread in costly {
            thread.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?;
        }
        Ok(())
    })?;
    // Still held, the flood keeps nobody out for longer than slow bodies are waited for.
    injector
        .server()
        .wait_until("answering under the flood", PATIENCE, || answers_as_ever(&injector).is_ok())?;
    assert!(injector.metric("sidecar_injector_connections")? <= 1024);
    drop(floods);
    for _ in 0..3 {
        answers_as_ever(&injector)?;
    }
    let peak = injector.peak_memory()?;
    println!("peak: {} KiB", peak >> 10);
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
    Ok(())
}

#[test]
fn r36_reviews_that_fit_the_budget_stay_in_memory_too() -> Result<()> {
    let injector = Injector::start("")?;
    // Each costs most of the budget, so that they are let in one at a time.
    let object = [b"{\"a\":".as_slice(), &many(b"1")[..600_000], b"1]}"].concat();
    let body = with_object(&object)?;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let status = injector.review(&body).map(|reply| reply.status);
                    assert!(matches!(status, Ok(200 | 503)), "{status:?}");
                }
            });
        }
    });
    answers_as_ever(&injector)?;
    let peak = injector.peak_memory()?;
    println!("peak: {} KiB", peak >> 10);
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
    Ok(())
}
