//! How an answer is given: status, failures, health.

use anyhow::Result;
use testbed::Guard;

use crate::callee::Callee;
use crate::mock::Mock;

#[test]
fn health_is_always_good_and_empty() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-failRate", "1"])?;
    let health = mock.get("/health?x")?;
    assert_eq!((health.status, health.body.as_str()), (200, ""));
    assert_eq!(mock.get("/healthy")?.status, 503);
    Ok(())
}

#[test]
fn the_status_is_what_was_asked_for() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-status", "418"])?;
    let answer = mock.get("/x")?;
    assert_eq!(
        (answer.status, &answer.json()?["Message"]),
        (418, &"request 'x' succeeded.".into())
    );
    Ok(())
}

#[test]
fn the_same_seed_fails_the_same_requests() -> Result<()> {
    let guard = Guard::new()?;
    let run = |name: &str, seed: &str| -> Result<Vec<u16>> {
        let arguments = ["-failRate=0.5", "-failStatus", "500", "-seed", seed];
        let mock = Mock::start(&guard, name, &arguments)?;
        (0..40).map(|_| Ok(mock.get("/x")?.status)).collect()
    };
    let first = run("first", "7")?;
    assert_eq!(first, run("again", "7")?);
    assert_ne!(first, run("other", "8")?);
    assert!(first.contains(&200) && first.contains(&500), "{first:?}");
    Ok(())
}

#[test]
fn a_failing_request_says_so_and_calls_nobody() -> Result<()> {
    let guard = Guard::new()?;
    let other = Mock::start(&guard, "other", &[])?;
    let mock = Mock::start(&guard, "mock", &["-failRate", "1"])?;
    let answer = mock.get(&format!("/@{}/x", other.address))?;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()?["Error"]["Code"], "fail_rate");
    assert_eq!(other.answered(), [""; 0]);
    Ok(())
}

#[test]
fn failed_calls_can_fail_the_answer() -> Result<()> {
    let guard = Guard::new()?;
    let failing = Mock::start(&guard, "failing", &["-status", "500"])?;
    let missing = Mock::start(&guard, "missing", &["-status", "404"])?;
    let mock = Mock::start(&guard, "mock", &["-failOnForwardError"])?;
    let [gone] = testbed::free_ports()?;
    let call = |port: u16| mock.get(&format!("/@127.0.0.1:{port}/x"));
    let refused = call(gone)?;
    assert_eq!(refused.status, 502);
    let json = refused.json()?;
    assert_eq!(json["Error"]["Code"], "forward_error");
    assert_eq!(json["ParallelForwards"][0]["SequentialForwards"].as_array().map(Vec::len), Some(1));
    assert_eq!(call(failing.address.port())?.status, 502);
    assert_eq!(call(missing.address.port())?.status, 200);
    assert_eq!(mock.get("/x")?.status, 200);
    Ok(())
}

#[test]
fn a_callee_that_says_nothing_is_given_up() -> Result<()> {
    let guard = Guard::new()?;
    let callee = Callee::start()?;
    let mock = Mock::start(&guard, "mock", &["-timeout", "50ms"])?;
    let json = mock.get(&format!("/@{}/x", callee.address))?.json()?;
    let error = &json["ParallelForwards"][0]["SequentialForwards"][0]["Error"];
    assert_eq!(error, "no complete answer within 50ms (-timeout)");
    Ok(())
}

#[test]
fn any_answer_of_a_callee_is_nested() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let long = "x".repeat(300_000);
    let table = [
        ("hello".to_owned(), r#""hello""#, "null"),
        ("{\"a\":[1.50]}\n".to_owned(), r#"{"a":[1.5]}"#, "null"),
        (String::new(), "null", "null"),
        (long, "null", r#""longer than 256 KiB""#),
    ];
    for (body, nested, left_out) in table {
        let callee = Callee::start()?;
        let address = callee.address;
        let answering = std::thread::spawn(move || {
            let length = body.len();
            // What is too long is not read to its end.
            let _ = callee
                .called()?
                .answer(&format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n{body}"));
            anyhow::Ok(())
        });
        let json = mock.get(&format!("/@{address}/x"))?.json()?;
        answering.join().expect("no panic")?;
        let call = &json["ParallelForwards"][0]["SequentialForwards"][0];
        assert_eq!(call["Status"], 201);
        assert_eq!(call["Response"].to_string(), nested);
        assert_eq!(call["ResponseLeftOut"].to_string(), left_out);
    }
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_at_the_start() -> Result<()> {
    let table: [(&[&str], &str); 7] = [
        (&["-failRate", "2"], "from 0 to 1"),
        (&["-status", "99"], "from 200 to 599"),
        (&["-delay", "5"], "300ms"),
        (&["-listenAddress", "nonsense"], "-listenAddress nonsense: cannot listen there"),
        (&["-echoUDP", "203.0.113.1:0"], "-echoUDP 203.0.113.1:0: cannot listen there"),
        (&["-listenAdress", ":0"], "--listen-address"),
        (&["-forwardHeaders", "a b"], "header"),
    ];
    for (arguments, expected) in table {
        let output = crate::mock::program()?.args(arguments).output()?;
        let text = String::from_utf8(output.stderr)?;
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    let mut command = crate::mock::program()?;
    let output = command.env("http_proxy", "https://user:secret@proxy").output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("http_proxy") && !text.contains("secret"), "{text}");
    Ok(())
}
