//! `mockserver get`, the client for pods without a shell.

use std::process::Output;

use anyhow::Result;
use serde_json::Value;
use testbed::Guard;

use crate::mock::{Mock, PATIENCE, program};
use crate::proxy::Proxy;

fn get(arguments: &[&str]) -> Result<Output> {
    get_with(arguments, &[])
}

fn get_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = program()?;
    Ok(command.arg("get").args(arguments).envs(environment.iter().copied()).output()?)
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[test]
fn the_body_is_printed_and_the_rest_only_when_asked() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let url = format!("{}/x", mock.address);
    let plain = get(&[&url])?;
    assert_eq!(plain.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&plain.stdout)?["Service"], "mock");
    assert_eq!(text(&plain.stderr), "");

    let verbose = get(&["-v", "-q", &url])?;
    assert_eq!(text(&verbose.stdout), "");
    let head = text(&verbose.stderr);
    assert!(head.starts_with(&format!("> GET http://{url}\n< HTTP/1.1 200 OK\n")), "{head}");
    assert!(head.contains("\n< content-type: application/json\n"), "{head}");

    let h2 = get(&["-v", "--http2", &url])?;
    assert!(text(&h2.stderr).contains("< HTTP/2.0 200 OK\n"), "{h2:?}");
    Ok(())
}

#[test]
fn method_header_and_body_are_sent() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let url = mock.address.to_string();
    let ask = |arguments: &[&str]| -> Result<Value> {
        let output = get(&[&[url.as_str()], arguments].concat())?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let posted = ask(&["-d", "four", "-H", "x-y: 1", "-H", "X-Y:2", "-H", "user-agent: me"])?;
    let info: Vec<&str> =
        posted["RequestInfo"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(info[0], "POST / HTTP/1.1");
    for line in ["x-y: 1", "x-y: 2", "user-agent: me", "content-length: 4"] {
        assert!(info.contains(&line), "{line} in {info:?}");
    }
    assert_eq!(posted["BodyBytes"], 4);

    let file = guard.folder().join("body");
    std::fs::write(&file, vec![b'x'; 65_536])?;
    let put = ask(&["-X", "PUT", "--data", &format!("@{}", file.display())])?;
    assert_eq!(
        (&put["RequestInfo"][0], &put["BodyBytes"]),
        (&"PUT / HTTP/1.1".into(), &65_536.into())
    );
    Ok(())
}

#[test]
fn the_exit_status_says_whether_all_was_well() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-failRate", "0.5", "-seed", "7"])?;
    let [gone] = testbed::free_ports()?;
    let url = mock.address.to_string();
    let many = get(&["-n", "40", "-c", "8", "-q", &url])?;
    let summary = text(&many.stderr).lines().last().unwrap_or_default().to_owned();
    assert_eq!(many.status.code(), Some(1), "{summary}");
    // The same forty as in any other run with this seed.
    let good = mock_failures(7);
    assert!(summary.starts_with("40 requests in "), "{summary}");
    let expected = format!(": {good} good, {0} failed; {good} × 200, {0} × 503", 40 - good);
    assert!(summary.ends_with(&expected), "{summary}, not {expected}");

    let refused = get(&[&format!("127.0.0.1:{gone}")])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("Connection refused"), "{refused:?}");
    for (arguments, code, expected) in [
        (&["https://127.0.0.1/"][..], 1, "only http is spoken"),
        (&["-H", "nonsense", "a"], 1, "NAME: VALUE"),
        (&["-d", "@/nowhere", "a"], 1, "--data @/nowhere"),
        (&["-n", "0", "a"], 2, "'0'"),
        (&[], 2, "<URL>"),
    ] {
        let output = get(arguments)?;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stderr).contains(expected), "{output:?}");
        assert_eq!(text(&output.stdout), "");
    }
    Ok(())
}

#[test]
fn it_can_wait_for_a_server_that_still_starts() -> Result<()> {
    let guard = Guard::new()?;
    let [port] = testbed::free_ports()?;
    let address = format!("127.0.0.1:{port}");
    let mut command = program()?;
    let waiting = guard.spawn("get", command.args(["get", "-v", "-w", "1h", "-q", &address]))?;
    waiting.wait_until("asking", PATIENCE, || waiting.log().contains("> GET"))?;
    assert!(waiting.is_running());
    let mock = Mock::start(&guard, "late", &["-listenAddress", &address])?;
    assert!(waiting.wait_for_exit(PATIENCE)?.success(), "{}", waiting.log());
    drop(mock);
    Ok(())
}

/// How many of forty requests do not fail with this seed and a rate of a half.
fn mock_failures(seed: u64) -> usize {
    let rate = mockserver::server::FailRate::new(0.5, Some(seed));
    (0..40).filter(|_| !rate.next()).count()
}

#[test]
fn many_at_a_time_print_whole_bodies() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let output = get(&["-n", "60", "-c", "12", &format!("{}/x", mock.address)])?;
    assert_eq!(output.status.code(), Some(0));
    let bodies: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()?;
    assert_eq!(bodies.len(), 60);
    assert!(bodies.iter().all(|body| body["Service"] == "mock"));
    Ok(())
}

#[test]
fn it_goes_through_the_proxy_like_any_application() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let proxy = Proxy::start()?;
    proxy.lead("reviews:8080", mock.address);
    let environment = [("http_proxy", proxy.url())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let loopback = mock.address.to_string();

    let named = get_with(&["-v", "http://reviews:8080/x"], &environment)?;
    assert_eq!(named.status.code(), Some(0), "{named:?}");
    let way = format!("> GET http://reviews:8080/x through {}\n", proxy.address);
    assert!(text(&named.stderr).starts_with(&way), "{named:?}");
    assert_eq!(get_with(&[&loopback], &environment)?.status.code(), Some(0));
    assert_eq!(get(&["-x", &proxy.url(), &loopback])?.status.code(), Some(0));
    assert_eq!(proxy.events().len(), 6);

    assert_eq!(get_with(&["--no-proxy", &loopback], &environment)?.status.code(), Some(0));
    let excepted = [environment[0], ("no_proxy", "127.0.0.1")];
    assert_eq!(get_with(&[&loopback], &excepted)?.status.code(), Some(0));
    assert_eq!(proxy.events(), [""; 0]);

    let unknown = get_with(&["http://nobody:8080/"], &environment)?;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stdout).contains("nobody:8080 is unknown"), "{unknown:?}");
    assert!(text(&unknown.stderr).contains("502 Bad Gateway"), "{unknown:?}");
    Ok(())
}
