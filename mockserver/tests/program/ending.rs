//! SIGTERM, as an application in a pod gets it.

use std::net::TcpStream;
use std::thread;

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::Guard;

use crate::callee::Callee;
use crate::http;
use crate::mock::{Mock, PATIENCE};

#[test]
fn the_listener_closes_and_what_is_under_way_finishes() -> Result<()> {
    let guard = Guard::new()?;
    let callee = Callee::start()?;
    let mock = Mock::start(&guard, "mock", &["-graceTime", "1h", "-timeout", "1h"])?;
    let target = format!("/@{}/x", callee.address);
    let address = mock.address;
    // A connection on which nothing was said must not hold up the end. It is taken before the next.
    let silent = http::connect(address)?;
    let asking = thread::spawn(move || http::get(address, &target, &[]));
    let caller = callee.called()?;

    mock.server.signal(Signal::SIGTERM)?;
    mock.server.wait_until("closed", PATIENCE, || TcpStream::connect(address).is_err())?;
    assert!(mock.server.is_running());
    caller.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
    let answer = asking.join().expect("no panic")?;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\"Response\": \"hi\""), "{}", answer.body);
    assert!(mock.server.wait_for_exit(PATIENCE)?.success());
    assert!(mock.server.log().contains("nothing was cut off"), "{}", mock.server.log());
    drop(silent);
    Ok(())
}

#[test]
fn what_takes_too_long_is_cut_off() -> Result<()> {
    let guard = Guard::new()?;
    let callee = Callee::start()?;
    let mock = Mock::start(&guard, "mock", &["-graceTime", "10ms", "-timeout", "1h"])?;
    let target = format!("/@{}/x", callee.address);
    let address = mock.address;
    let asking = thread::spawn(move || http::get(address, &target, &[]));
    let caller = callee.called()?;
    mock.server.signal(Signal::SIGTERM)?;
    assert!(mock.server.wait_for_exit(PATIENCE)?.success());
    assert!(mock.server.log().contains("cut off what was under way"), "{}", mock.server.log());
    assert!(asking.join().expect("no panic").is_err());
    drop(caller);
    Ok(())
}

#[test]
fn it_can_go_on_for_a_while_and_be_hurried() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-drainDelay", "1h"])?;
    mock.server.signal(Signal::SIGTERM)?;
    mock.server.wait_until("warned", PATIENCE, || {
        mock.server.log().contains("the listeners close in 1h")
    })?;
    assert_eq!(mock.get("/x")?.status, 200);
    mock.server.signal(Signal::SIGINT)?;
    assert!(mock.server.wait_for_exit(PATIENCE)?.success());
    Ok(())
}

#[test]
fn its_port_is_free_again_at_once() -> Result<()> {
    let guard = Guard::new()?;
    let first = Mock::start(&guard, "first", &[])?;
    assert_eq!(first.get("/x")?.status, 200);
    let address = first.address.to_string();
    first.server.signal(Signal::SIGTERM)?;
    assert!(first.server.wait_for_exit(PATIENCE)?.success());
    let second = Mock::start(&guard, "second", &["-listenAddress", &address])?;
    assert_eq!(http::get(address.parse()?, "/x", &[])?.json()?["Service"], "second");
    drop(second);
    Ok(())
}
