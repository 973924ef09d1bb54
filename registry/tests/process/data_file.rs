use std::fs;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::server::{Registry, refused};
use crate::{call, names, register, register_instance};

#[test]
fn what_was_answered_survives_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("data");
    let data = ["--data", path.to_str().unwrap_or_default()];
    let registry = Registry::start(&data)?;
    for name in ["a", "b", "c"] {
        let id = register(&registry, name)?;
        register_instance(&registry, &id, "i")?;
    }
    let find = "instances?appId=default&serviceName=b";
    let before = call(&registry, "GET", find, None)?;
    registry.signal(Signal::SIGKILL)?;
    registry.end()?;

    let registry = Registry::start(&data)?;
    assert_eq!(names(&registry)?, ["a", "b", "c"]);
    let after = call(&registry, "GET", find, None)?;
    assert_eq!(before.json(), after.json());
    let revision = before.header("x-resource-revision").expect("a revision");
    let known = call(&registry, "GET", &format!("{find}&rev={revision}"), None)?;
    assert_eq!(known.status, 304, "revisions hold over a restart");
    let id = after.json()["instances"][0]["serviceId"].as_str().unwrap_or_default().to_owned();
    let beat = format!("microservices/{id}/instances/i/heartbeat");
    assert_eq!(call(&registry, "PUT", &beat, None)?.status, 200, "so do leases");
    Ok(())
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("data");
    let name = path.to_str().unwrap_or_default();
    let registry = Registry::start(&["--data", name])?;
    for service in ["a", "b"] {
        register(&registry, service)?;
    }
    let error = refused(&["--listen", "127.0.0.1:0", "--data", name])?;
    ensure!(error.contains("in use by another registry"), "{error}");
    registry.signal(Signal::SIGTERM)?;
    registry.end()?;

    let text = fs::read_to_string(&path)?.replacen("\"a\"", "\"x\"", 1);
    fs::write(&path, &text)?;
    let error = refused(&["--listen", "127.0.0.1:0", "--data", name])?;
    ensure!(error.contains(name) && error.contains("damaged at line 2"), "{error}");
    ensure!(error.contains("move the file away"), "{error}");
    ensure!(fs::read_to_string(&path)? == text, "it was changed");
    Ok(())
}
