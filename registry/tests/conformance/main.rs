//! The registry answers as a service-center does: exchanges recorded from a real one, replayed
//! request by request against our process, and against a real one where `SERVICE_CENTER_ADDR`
//! names an empty one (`127.0.0.1:30100`).

mod differences;
#[path = "../running/http.rs"]
mod http;
mod recording;
mod replay;
#[path = "../running/server.rs"]
mod server;
mod setup;
#[path = "../running/socket.rs"]
mod socket;
mod watcher;

use anyhow::Result;

use server::Registry;

/// Names a real service-center, which must be empty.
const REAL: &str = "SERVICE_CENTER_ADDR";

#[test]
fn ours_answers_as_recorded() -> Result<()> {
    replay::all(&Registry::start(&[])?)
}

#[test]
fn ours_tells_watchers_as_recorded() -> Result<()> {
    watcher::all(&Registry::start(&["--ping", "200ms"])?)
}

#[test]
fn the_original_answers_as_recorded() -> Result<()> {
    on_the_original(replay::all)
}

#[test]
fn the_original_tells_watchers_as_recorded() -> Result<()> {
    on_the_original(watcher::all)
}

fn on_the_original(test: impl FnOnce(&Registry) -> Result<()>) -> Result<()> {
    if let Some(address) = std::env::var(REAL).ok().filter(|address| !address.is_empty()) {
        return test(&Registry::at(address));
    }
    testbed::skip(&format!("{REAL} is not set"));
    Ok(())
}
