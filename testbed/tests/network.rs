//! Networks of their own: what can be reached in them, and that nothing of them stays.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::network::Host;
use testbed::{Guard, Network, Server};

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;

/// Any server: it shows the guard's folder.
fn serve(guard: &Guard, name: &str, host: &Host) -> Result<Server> {
    let mut python = host.command("python3");
    python.args(["-m", "http.server", &PORT.to_string(), "--directory"]).arg(guard.folder());
    guard.spawn(&format!("server-{name}"), &mut python)
}

/// What carries the connections of a door.
fn testbed() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_testbed"))
}

/// A network, or none and the test is skipped.
fn network(guard: &Guard) -> Result<Option<Network<'_>>> {
    Ok(Network::start(guard)?.map_err(|reason| testbed::skip(&reason)).ok())
}

/// What a command prints.
fn printed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The network namespace of a process, as all of its processes name it.
fn namespace_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// How many processes are in a network namespace.
fn processes_in(namespace: &Path) -> usize {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter(|pid| namespace_of(*pid).as_deref() == Some(namespace)).count()
}

#[test]
fn hosts_have_what_is_theirs_and_reach_each_other() -> Result<()> {
    let guard = Guard::new()?;
    let links = || fs::read_to_string("/proc/net/dev").map(|text| text.lines().count());
    let before = links()?;
    let Some(network) = network(&guard)? else { return Ok(()) };
    let (one, two) = (network.host("one")?, network.host("two")?);
    assert_ne!(one.address(), two.address());
    one.knows("other", two.address())?;

    let hosts = printed(one.command("cat").arg("/etc/hosts"))?;
    assert!(hosts.contains(&format!("{} other", two.address())), "{hosts}");
    assert!(!printed(two.command("cat").arg("/etc/hosts"))?.contains("other"));

    // The same port in both, as each has all of them; and a door from here to the loopback of one.
    let servers = [serve(&guard, "one", &one)?, serve(&guard, "two", &two)?];
    for (host, server) in [&one, &two].into_iter().zip(&servers) {
        let status = || host.status_of(PORT, "/log/");
        server.wait_until("serving", PATIENCE, || status() == Some(200))?;
    }
    let door = one.door(&guard, testbed(), SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
    let mut client = TcpStream::connect(door.address())?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"GET /log/ HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert!(answer.contains("200 OK") && answer.contains("server-one.log"), "{answer}");

    // And an exit from the other to what listens here: to that door.
    let exit = two.exit(&guard, testbed(), PORT + 1, door.address())?;
    assert_eq!(two.status_of(PORT + 1, "/log/"), Some(200));
    drop(exit);
    assert_eq!(two.status_of(PORT + 1, "/log/"), None);

    // Nobody is there any more.
    drop(servers);
    assert_eq!(one.status_of(PORT, "/log/"), None);
    let mut client = TcpStream::connect(door.address())?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut nothing = Vec::new();
    let end = client.read_to_end(&mut nothing);
    assert!(end.is_err() || nothing.is_empty(), "{nothing:?}");
    assert_eq!(links()?, before, "an interface has appeared on the machine");
    Ok(())
}

#[test]
fn a_killed_owner_leaves_no_namespace() -> Result<()> {
    let guard = Guard::new()?;
    if network(&guard)?.is_none() {
        return Ok(());
    }
    let mut owner = Command::new(testbed())
        .arg("network")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().context("no output")?).read_line(&mut line)?;
    let pid = line.split_whitespace().find_map(|word| word.strip_prefix("--target="));
    let pid = pid.with_context(|| format!("no target in {line:?}"))?.parse()?;
    let namespace = namespace_of(pid).context("it is gone already")?;
    assert!(processes_in(&namespace) > 0);
    owner.kill()?;
    owner.wait()?;
    let started = Instant::now();
    while processes_in(&namespace) > 0 {
        ensure!(started.elapsed() < PATIENCE, "somebody is still in {}", namespace.display());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn the_network_stays_with_its_hosts_only_while_the_guard_does() -> Result<()> {
    let guard = Guard::new()?;
    let Some(network) = network(&guard)? else { return Ok(()) };
    let host = network.host("one")?;
    let address: IpAddr = host.address();
    assert!(printed(host.command("cat").arg("/proc/net/fib_trie"))?.contains(&address.to_string()));
    let pid: u32 = host
        .entrance()
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--target=")?.parse().ok())
        .context("no target")?;
    let namespace = namespace_of(pid).context("it is gone already")?;
    host.leave();
    network.leave();
    assert!(processes_in(&namespace) > 0, "it was to stay");
    drop(guard);
    let started = Instant::now();
    while processes_in(&namespace) > 0 {
        ensure!(started.elapsed() < PATIENCE, "somebody is still in {}", namespace.display());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
