//! The registry answers as a service-center does: exchanges recorded from a real one, replayed
//! request by request against our process, and against a real one where `SERVICE_CENTER_ADDR`
//! names an empty one (`127.0.0.1:30100`).

mod differences;
mod http;
mod recording;
mod replay;
mod server;
mod setup;
mod watcher;

use anyhow::Result;

use server::{REAL, Registry};

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
    if let Some(registry) = Registry::real() {
        return test(&registry);
    }
    testbed::skip(&format!("{REAL} is not set"));
    Ok(())
}
