//! The access log, as it is in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use hyper::Request;
use mesh::Protocol;
use serde_json::{Value, json};
use sidecar::Proxy;
use sidecar::settings::{AccessLog, LogTarget, Settings};
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::world::{Client, PATIENCE, nobody, service, service_of, settings, start};
use crate::{h2_app, h2_client};

/// A log in JSON, of everything.
fn to(path: &Path) -> AccessLog {
    AccessLog { to: LogTarget::File(path.to_owned()), json: true, ..AccessLog::default() }
}

fn logging(access_log: AccessLog) -> Settings {
    Settings { access_log, ..settings("ServiceA") }
}

/// The lines of a file, when there are so many; the last ones come when their requests are over.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    let there = async {
        while read().matches('\n').count() < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, there).await.is_ok(), "{count} lines, but {:?}", read());
    let lines: Vec<_> = read().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

async fn objects(path: &Path, count: usize) -> Vec<Value> {
    let lines = lines(path, count).await;
    lines.iter().map(|line| serde_json::from_str(line).expect("one JSON object")).collect()
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    (folder, path)
}

#[tokio::test]
async fn a_line_says_what_was_asked_and_how_it_ended() {
    let (_folder, path) = file();
    let app = App::saying("four").await;
    let services = [service("b", &[app.address]), service("gone", &[nobody()])];
    let (_proxy, address) = start(logging(to(&path)), Arc::new(Fixed::new(services)));
    let mut client = Client::connect(address).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let more = format!(
        "user-agent: a \"test\"\r\nx-request-id: r-1\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n"
    );
    client.request("POST", "http://b/a?token=secret", &more, "body!").await;
    assert_eq!(client.get("http://gone/").await.status, 502);
    assert_eq!(client.get("http://nobody/x").await.status, 502);
    let [first, gone, nowhere] = &objects(&path, 3).await[..] else { panic!("three lines") };
    for (name, value) in [
        ("side", json!("consumer")),
        ("protocol", json!("HTTP/1.1")),
        ("method", json!("POST")),
        ("authority", json!("b")),
        ("path", json!("/a")),
        ("status", json!(200)),
        ("reason", json!(null)),
        ("service", json!("b")),
        ("app", json!("default")),
        ("instance", json!(app.address.to_string())),
        ("address", json!(app.address.to_string())),
        ("resends", json!(0)),
        ("bytes_in", json!(5)),
        ("bytes_out", json!(4)),
        ("user_agent", json!("a \"test\"")),
        ("request_id", json!("r-1")),
        ("trace_id", json!(trace)),
        ("grpc_status", json!(null)),
        ("broken_off", json!(null)),
    ] {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    let number = |name: &str| first[name].as_f64().unwrap_or_else(|| panic!("{name} of {first}"));
    assert!(number("duration_ms") >= number("first_byte_ms"), "{first}");
    assert!(number("first_byte_ms") >= number("connect_ms"), "{first}");
    assert!(first["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")));
    assert!(first["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    assert_eq!((&gone["status"], &gone["reason"]), (&json!(502), &json!("connect_refused")));
    assert_eq!((&nowhere["service"], &nowhere["reason"]), (&json!(null), &json!("no_instance")));
    assert_eq!(nowhere["address"], json!(null), "{nowhere}");
}

#[tokio::test]
async fn a_call_says_its_status_and_what_broke_off_says_so() {
    let (_folder, path) = file();
    let app = h2_app::App::each(|call| async move {
        call.begin().end("5");
    })
    .await;
    let broken = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    })
    .await;
    let services =
        [service_of(Protocol::Grpc, "b", &[app.address]), service("broken", &[broken.address])];
    let (_proxy, address) = start(logging(to(&path)), Arc::new(Fixed::new(services)));
    let mut calls = h2_client::Client::connect(address).await;
    let call = Request::post("http://b/s/m").header("content-type", "application/grpc");
    calls.request(call, "hello").await;
    let mut client = Client::connect(address).await;
    client.send("GET http://broken/ HTTP/1.1\r\nhost: broken\r\n\r\n").await;
    assert!(client.is_reset().await);
    let mut all = objects(&path, 2).await;
    all.sort_by_key(|line| line["method"].to_string());
    let [get, call] = &all[..] else { panic!("two lines") };
    assert_eq!((&call["protocol"], &call["grpc_status"]), (&json!("grpc"), &json!(5)), "{call}");
    assert_eq!((&get["status"], &get["broken_off"]), (&json!(200), &json!("instance")), "{get}");
    assert_eq!(get["bytes_out"], json!(3), "{get}");
}

#[tokio::test]
async fn of_some_or_none_those_that_failed_are_logged_all_the_same() {
    let (folder, path) = file();
    let app = App::saying("four").await;
    let settings = logging(AccessLog { sample: 0, ..to(&path) });
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (proxy, address) = start(settings.clone(), source);
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        assert_eq!(client.get("http://b/").await.status, 200);
        assert_eq!(client.get("http://nobody/").await.status, 502);
    }
    let failed = objects(&path, 20).await;
    assert!(failed.iter().all(|line| line["reason"] == "no_instance"), "{failed:#?}");

    // Half of them, whichever: none of a thousand, or all, is as good as impossible.
    let half = folder.path().join("half.log");
    let change = |access_log| {
        proxy.reconfigure(Settings { access_log, ..settings.clone() });
    };
    change(AccessLog { sample: 500_000, errors: false, ..to(&half) });
    for _ in 0..1000 {
        client.get("http://b/").await;
    }
    let written = async || {
        let mut admin = Client::connect(proxy.addresses().admin[0]).await;
        let text = admin.get("/metrics").await.body;
        let name = r#"mesher_access_log_lines_total{result="written"} "#;
        let count = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<usize>().ok());
        count.expect("it is counted")
    };
    let later = folder.path().join("later.log");
    change(to(&later));
    client.get("http://b/").await;
    lines(&later, 1).await;
    // Who wrote into the file before may not have come to its last lines.
    let halves = || fs::read_to_string(&half).expect("it is written").lines().count();
    let counted = async {
        while written().await != 20 + halves() + 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, counted).await.is_ok(), "{} of {}", halves(), written().await);
    assert!((100..900).contains(&halves()), "{} of 1000", halves());

    change(AccessLog::default());
    client.get("http://b/").await;
    proxy.shutdown().await;
    assert_eq!(lines(&later, 1).await.len(), 1, "it is off");
}

#[tokio::test]
async fn the_last_lines_are_written_before_the_end() {
    let (_folder, path) = file();
    let app = App::saying("four").await;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let text = AccessLog { json: false, query: true, ..to(&path) };
    let (proxy, address) = start(logging(text), source);
    let mut client = Client::connect(address).await;
    for n in 0..100 {
        client.get(&format!("http://b/?{n}")).await;
    }
    drop(client);
    proxy.shutdown().await;
    let text = fs::read_to_string(&path).expect("a file");
    assert_eq!(text.lines().count(), 100);
    for (n, line) in text.lines().enumerate() {
        let said = format!(
            " side=consumer protocol=HTTP/1.1 method=GET authority=b path=/?{n} status=200 "
        );
        assert!(line.contains(&said), "{line}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    let (folder, path) = file();
    let app = App::saying("four").await;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (_proxy, address) = start(logging(to(&path)), source);
    let mut client = Client::connect(address).await;
    client.get("http://b/").await;
    lines(&path, 1).await;
    fs::rename(&path, folder.path().join("access.log.1")).expect("it is there");
    let begun = async {
        while !path.exists() {
            client.get("http://b/").await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, begun).await.expect("a new file");
}

#[tokio::test]
async fn nobody_waits_for_a_log_that_is_not_taken() {
    let (_folder, path) = file();
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    // A reader that never reads.
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
    let app = App::saying("four").await;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (proxy, address) = start(logging(to(&path)), source);
    let dropped = async |proxy: &Proxy| {
        let mut admin = Client::connect(proxy.addresses().admin[0]).await;
        let text = admin.get("/metrics").await.body;
        let name = r#"mesher_access_log_lines_total{result="dropped"} "#;
        let count = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        count.expect("it is counted")
    };
    let mut client = Client::connect(address).await;
    let flood = async {
        while dropped(&proxy).await == 0 {
            for _ in 0..200 {
                assert_eq!(client.get("http://b/").await.status, 200);
            }
        }
    };
    timeout(Duration::from_mins(2), flood).await.expect("requests go on, and lines are dropped");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_said_at_the_start_and_changes_nothing_later() {
    let (folder, path) = file();
    let wrong = to(&folder.path().join("no/such/folder.log"));
    let failed = Proxy::start(logging(wrong.clone()), Arc::new(Fixed::new([])));
    let failed = failed.expect_err("there is no such folder").to_string();
    assert!(failed.contains("mesher.accessLog.to") && failed.contains("no/such"), "{failed}");

    let app = App::saying("four").await;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (proxy, address) = start(logging(to(&path)), source);
    proxy.reconfigure(logging(wrong));
    Client::connect(address).await.get("http://b/").await;
    lines(&path, 1).await;
}
