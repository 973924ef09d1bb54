//! `cargo xtask demo --act 2`, as somebody sees it who has piped it into a file.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Guard, Network, binary};

const PATIENCE: Duration = Duration::from_mins(1);

/// What it says, whichever way the pods have their addresses, and wherever they find each other.
const PROMISED: [&str; 10] = [
    "8080/service/calls/@service3/'   # no call",
    "8080/@service1:8081/the-end'",
    "8080/@service1|service2/@service3|service4/uri/'",
    "     ├─ service1-0 service1/@service3|service4/uri/ answered in ",
    "     │  └─ service4-",
    "front → service1",
    "handed on by its own sidecar",
    "mesher_instance_evicted{address=\"1",
    "mesher_instance_evicted 0",
    "The page of front's sidecar shows all this live, in a browser on this machine:",
];

/// And what, with a registry.
const BY_REGISTRY: [&str; 2] =
    ["$ sidecar-injector inject -f examples/chain/", "All are UP in the registry"];
/// And what, over Istio.
const BY_ISTIO: [&str; 4] = [
    "| sidecar-injector inject -f -",
    "All know each other by istiod, and their sidecars",
    "mesher-istio-token and mesher-istio-root are not mounted",
    "istiod still names both",
];

fn demo(arguments: &[&str]) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    demo.args(["demo", "--act", "2"]).args(arguments).stdin(Stdio::null());
    demo
}

fn check(output: &Output, more: &[&str]) -> Result<()> {
    let said = String::from_utf8(output.stdout.clone())?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{said}{complaints}", output.status);
    let with = if said.contains("istiod") { &BY_ISTIO[..] } else { &BY_REGISTRY };
    for line in PROMISED.iter().chain(with).chain(more) {
        ensure!(said.contains(line), "there is no {line:?} in this:\n{said}");
    }
    ensure!(!said.contains('\x1b'), "colours do not belong into a file:\n{said}");
    Ok(())
}

/// Our programs are built: nothing is to be built in between.
fn is_built() -> Result<()> {
    for program in ["mesher", "mockserver", "service-registry", "sidecar-injector", "testbed"] {
        binary(program)?;
    }
    Ok(())
}

/// With every pod in a network of its own.
fn in_namespaces(arguments: &[&str]) -> Result<()> {
    is_built()?;
    let guard = Guard::new()?;
    if let Err(reason) = Network::start(&guard)? {
        testbed::skip(&reason);
        return Ok(());
    }
    let output = demo(arguments).output()?;
    check(&output, &["Every pod in a network of its own", "10.244.0.3", "No value was replaced."])
}

#[test]
fn the_second_act_in_namespaces() -> Result<()> {
    in_namespaces(&[])
}

#[test]
fn the_second_act_in_namespaces_over_istio() -> Result<()> {
    in_namespaces(&["--backend", "pilot"])
}

/// In a network of its own, if there is one, as others may have its ports.
fn on_the_loopback_interface(backend: &str) -> Result<()> {
    is_built()?;
    let guard = Guard::new()?;
    let mut command = demo(&["--loopback", "--backend", backend]);
    let network = Network::start(&guard)?.ok();
    let host = network.as_ref().map(|network| network.host("demo")).transpose()?;
    if let Some(host) = &host {
        let mut inside = host.command(command.get_program());
        inside.args(command.get_args()).stdin(Stdio::null());
        command = inside;
    }
    check(
        &command.output()?,
        &[
            "Every pod on addresses of its own",
            "127.0.1.2",
            "http_proxy=http://127.0.0.1:30101 → http://127.0.2.2:30101",
            "-listenAddress=:8080 → -listenAddress=127.0.1.2:8080",
            "the same with 127.0.1.7, 127.0.2.7 and 127.0.0.1:",
        ],
    )
}

#[test]
fn the_second_act_on_the_loopback_interface() -> Result<()> {
    on_the_loopback_interface("sc")
}

#[test]
fn the_second_act_on_the_loopback_interface_over_istio() -> Result<()> {
    on_the_loopback_interface("pilot")
}

/// The processes that name `folder` on their command line, or write there what they print.
fn processes_of(folder: &Path) -> usize {
    let here = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let output = fs::read_link(process.join("fd/1")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*folder.to_string_lossy())
            || output.starts_with(folder)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|process| here(&process.path())).count()
}

/// Reads on until a line holds `words`.
fn read_until(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    words: &str,
) -> Result<String> {
    let mut said = Vec::new();
    for line in lines {
        let line = line?;
        if line.contains(words) {
            return Ok(line);
        }
        said.push(line);
    }
    anyhow::bail!("it ended without {words:?}:\n{}", said.join("\n"))
}

#[test]
fn an_interrupted_act_leaves_nothing() -> Result<()> {
    is_built()?;
    let temporary = tempfile::tempdir()?;
    let mut child = demo(&[]).env("TMPDIR", temporary.path()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    read_until(&mut lines, "mockserver get")?;
    let there = processes_of(temporary.path());
    assert!(there > 14, "six pods have two processes each, and there are networks: {there}");
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    child.wait()?;
    all_gone(temporary.path())
}

#[test]
fn what_is_kept_can_be_stopped() -> Result<()> {
    is_built()?;
    let temporary = tempfile::tempdir()?;
    let output = demo(&["--keep"]).env("TMPDIR", temporary.path()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let stop = said.lines().find_map(|line| line.trim().strip_prefix("kill "));
    let Some(stop) = stop else { return check(&output, &["This stops the mesh"]) };
    let stop = Pid::from_raw(stop.parse()?);
    let page = said.lines().map(str::trim).find(|line| line.starts_with("http://"));
    let got = page.map(|page| {
        let mut get = Command::new(binary("mockserver")?);
        get.args(["get", "--no-proxy", "-q", page]).output().context("mockserver get")
    });
    // Before anything can fail: what was kept would stay.
    kill(stop, Signal::SIGTERM)?;
    all_gone(temporary.path())?;
    check(&output, &["This stops the mesh"])?;
    let got = got.context("no page")??;
    ensure!(got.status.success(), "the page was gone: {got:?}");
    Ok(())
}

/// Waits until neither processes nor files are left.
fn all_gone(folder: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        let files = fs::read_dir(folder)?.count();
        if processes_of(folder) == 0 && files == 0 {
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "{} processes and {files} files are left of {}",
            processes_of(folder),
            folder.display()
        );
        thread::sleep(Duration::from_millis(50));
    }
}
