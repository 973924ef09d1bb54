//! R7: how the injector comes and goes.

use anyhow::Result;
use e2e::injector::{Injector, PATIENCE};

use crate::data::{V1, shared};

/// B14: the original's probes had nothing to do with its listener.
#[test]
fn r07_readiness_names_its_parts() -> Result<()> {
    let reply = shared()?.operations("/readyz")?;
    assert_eq!(reply.status, 200);
    for part in ["serving: ok", "certificate: ok", "listener: ok", "apiServerVersion: ok"] {
        assert!(reply.text().lines().any(|line| line == part), "{part}: {}", reply.text());
    }
    assert_eq!(shared()?.operations("/healthz")?.status, 200);
    Ok(())
}

#[test]
fn r07_without_a_certificate_it_is_alive_and_not_ready() -> Result<()> {
    // `start` waits for readiness, which comes when the files do; the state before is in the log.
    let (terms, now) = (certs::Terms::default(), std::time::SystemTime::now());
    let authority = certs::Authority::generate("test", &terms, now)?;
    let identity = authority.issue(&certs::Names::default().with("127.0.0.1")?, &terms, now)?;
    let mut writer = None;
    let injector = Injector::start_with("", |command, folder| {
        let tls = e2e::injector::tls_folder(folder);
        std::fs::create_dir_all(&tls)?;
        std::fs::write(tls.join("ca.crt"), authority.certificate().to_pem())?;
        command.arg("--tls-mode=files").arg("--tls-folder").arg(&tls);
        let log = folder.join("log/sidecar-injector.log");
        writer = Some(std::thread::spawn(move || -> Result<()> {
            // Only once it has told that it lacks them do the files come.
            while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("tls.crt")) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            std::fs::write(tls.join("tls.key"), identity.key().expose_pem())?;
            Ok(std::fs::write(tls.join("tls.crt"), identity.chain_pem())?)
        }));
        Ok(())
    })?;
    writer.expect("prepared").join().expect("the writer ended")?;
    assert_eq!(injector.review(V1)?.status, 200);
    Ok(())
}

/// B44: the original stayed ready to its end.
#[test]
fn r07_on_sigterm_readiness_fails_first_and_what_is_under_way_finishes() -> Result<()> {
    let injector = Injector::start(
        "drain: {delay: 10h, deadline: 10h}\nlimits: {bodyTimeout: 10h, requestTimeout: 10h}\n",
    )?;
    let mut http2 = injector.http2()?;
    assert_eq!(http2.post("/mutate", V1)?.status, 200);
    let mut idle = injector.http1()?;
    assert_eq!(idle.post("/mutate", V1)?.status, 200);
    let mut under_way = injector.http1()?;
    let (first, rest) = V1.split_at(V1.len() / 2);
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        V1.len()
    );
    under_way.send(&[head.as_bytes(), first].concat())?;
    injector.server().wait_until("reading it", PATIENCE, || {
        injector.metric("sidecar_injector_reviews_in_flight").is_ok_and(|reviews| reviews == 1)
    })?;

    injector.terminate()?;
    injector.server().wait_until("unready", PATIENCE, || {
        injector.operations("/readyz").is_ok_and(|reply| {
            reply.status == 503 && reply.text().contains("serving: shutting down")
        })
    })?;
    assert_eq!(injector.review(V1)?.status, 200, "newcomers are still served");
    let mut in_use = injector.http1()?;
    // Its task may hear of the end a moment after the first answers.
    injector.server().wait_until("leaving its connections", PATIENCE, || {
        let reply = in_use.post("/mutate", V1);
        reply.is_ok_and(|reply| reply.status == 200 && reply.header("connection") == Some("close"))
    })?;
    assert!(in_use.is_closed_by_server(), "it was told so");

    // A second signal ends the delay, so that this test need not wait for it.
    injector.terminate()?;
    http2.closed_by_server()?;
    assert!(idle.is_closed_by_server());
    assert!(injector.http1().is_err(), "no new connections");
    // Each connection hears of the end in a task of its own: let this one have its turns too.
    for _ in 0..50 {
        injector.operations("/healthz")?;
    }
    under_way.send(rest)?;
    let reply = under_way.reply()?;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("close"));
    let status = injector.server().wait_for_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(0));
    assert!(injector.log().iter().any(|line| line["message"] == "everything finished"));
    Ok(())
}

#[test]
fn r07_what_never_ends_is_cut_at_the_deadline() -> Result<()> {
    let injector = Injector::start("drain: {delay: 0s, deadline: 300ms}")?;
    let mut stuck = injector.http1()?;
    stuck.send(b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")?;
    injector.server().wait_until("reading it", PATIENCE, || {
        injector.metric("sidecar_injector_reviews_in_flight").is_ok_and(|reviews| reviews == 1)
    })?;
    injector.terminate()?;
    assert_eq!(injector.server().wait_for_exit(PATIENCE)?.code(), Some(0));
    Ok(())
}

#[test]
fn r07_who_is_in_a_hurry_is_heard() -> Result<()> {
    let injector = Injector::start(
        "drain: {delay: 10h, deadline: 10h}\nlimits: {bodyTimeout: 10h, requestTimeout: 10h}\n",
    )?;
    let _silent = std::net::TcpStream::connect(injector.webhook())?;
    let mut stuck = injector.http1()?;
    stuck.send(b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")?;
    injector.server().wait_until("reading it", PATIENCE, || {
        injector.metric("sidecar_injector_reviews_in_flight").is_ok_and(|reviews| reviews == 1)
    })?;
    let said = |message: &str| {
        let log = injector.log();
        log.iter().any(|line| line["message"].as_str().is_some_and(|m| m.starts_with(message)))
    };
    for message in ["leaving", "another signal"] {
        injector.terminate()?;
        injector.server().wait_until(message, PATIENCE, || said(message))?;
    }
    injector.terminate()?;
    assert_eq!(injector.server().wait_for_exit(PATIENCE)?.code(), Some(0));
    assert!(said("connections still open"));
    Ok(())
}

/// B13: the original only logged that it could not listen, and lived on with green probes.
#[test]
fn b13_a_port_that_is_taken_ends_the_process_and_says_which() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let folder = testbed::Guard::new()?;
    let output = std::process::Command::new(testbed::binary("sidecar-injector")?)
        .args(["serve", "--no-kubernetes", "--listen", &address])
        .arg("--operations-listen=127.0.0.1:0")
        .arg("--tls-folder")
        .arg(folder.folder().join("tls"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("is another process there?"), "{said}");
    Ok(())
}
