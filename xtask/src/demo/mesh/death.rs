//! What callers notice when an instance dies.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testbed::kubelet::Place;

use super::FRONT;
use super::town::{Town, wait_for};
use crate::demo::screen::Screen;

/// The service with two instances, and the one that dies.
const SERVICE: &str = "service4";
const VICTIM: &str = "service4-1";
const URL: &str = "http://service4:8080/";
/// Requests while it dies, and how many are made at a time.
const REQUESTS: u64 = 300;
const AT_A_TIME: u64 = 8;
/// By when the load is taken to be under way, on connections that have served before.
const UNDER_WAY: u64 = 100;
/// 1 while an instance is left out.
const EVICTED: &str = "mesher_instance_evicted";

/// Kills an instance while it is called, and lets it come back.
pub(super) fn show(screen: &Screen, town: &mut Town<'_>) -> Result<()> {
    let sent = sent(town)?;
    screen
        .say(&format!("{SERVICE} has two instances. front calls it, {AT_A_TIME} calls at a time:"));
    screen.typed(&format!("mockserver get -n {REQUESTS} -c {AT_A_TIME} -q {URL}"));
    let (number, at_a_time) = (REQUESTS.to_string(), AT_A_TIME.to_string());
    let arguments = ["-n", &number, "-c", &at_a_time, "-q", URL];
    let mut command = town.command(town.member(FRONT)?, &arguments)?;
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let load = command.spawn().context("mockserver get does not run")?;
    wait_for("the calls under way", || Ok(self::sent(town)? >= sent + UNDER_WAY))?;

    let pids: Vec<_> = town.kill(VICTIM)?.iter().map(u32::to_string).collect();
    screen.typed(&format!("kill -9 {}   # {VICTIM}, meanwhile", pids.join(" ")));
    let output = load.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let summary = said.lines().last().unwrap_or_default();
    screen.printed(summary);
    let good = good(summary).with_context(|| format!("mockserver get said this: {said}"))?;
    let failed = REQUESTS.saturating_sub(good);
    ensure!(
        failed <= AT_A_TIME,
        "{failed} calls failed, and no more than {AT_A_TIME} were under way: {said}"
    );
    screen.say(&match failed {
        0 => {
            "No call failed: what had not been answered was sent to the other instance.".to_owned()
        }
        _ => format!(
            "{failed} failed, on connections that the dying one had just taken: it may have done \
             what was asked, so it is not asked twice. All others were answered."
        ),
    });

    let address = town.member(VICTIM)?.spot.address();
    wait_for("left out", || {
        let evicted = is_evicted(town, address)?;
        if !evicted {
            town.get(town.member(FRONT)?, &["-q", URL])?;
        }
        Ok(evicted)
    })?;
    screen.say(
        "front's sidecar found nobody there, and leaves it out for a second, then for two, …:",
    );
    screen.fact(VICTIM, &format!("{EVICTED}{{address=\"{address}:…\",…}} 1"));
    screen.say(&town.believed(SERVICE)?);

    let died = Instant::now();
    town.restart(VICTIM)?;
    screen.say("As a kubelet would, we start its containers again. It is called as before:");
    let mut answered = 0;
    wait_for("called again", || {
        let output = town.get(town.member(FRONT)?, &["-n", "4", "-q", URL])?;
        ensure!(output.status.success(), "a call failed: {output:?}");
        answered = town.handed_on(town.member(VICTIM)?)?;
        // Where Istio is asked, its sidecar and the application may both have been left out.
        Ok(answered > 0 && !is_evicted(town, address)?)
    })?;
    screen.fact(VICTIM, &format!("{EVICTED} 0"));
    screen
        .fact("", &format!("{answered} calls so far, {:.1} s later", died.elapsed().as_secs_f64()));
    Ok(())
}

/// How many calls of the service front's sidecar has answered.
fn sent(town: &Town<'_>) -> Result<u64> {
    town.sent(town.member(FRONT)?, SERVICE)
}

/// Whether front's sidecar leaves out the instance at this address.
fn is_evicted(town: &Town<'_>, address: IpAddr) -> Result<bool> {
    // The port is that of its sidecar, or where Istio is asked, its own.
    let label = format!("address=\"{address}:");
    Ok(town.counted(town.member(FRONT)?, EVICTED, &[&label])? > 0)
}

/// `200 requests in 1.3 s: 198 good, 2 failed; …`
fn good(summary: &str) -> Option<u64> {
    let (_, counts) = summary.split_once("s: ")?;
    counts.split_once(" good")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::good;

    #[test]
    fn a_summary_is_read() {
        let line = "200 requests in 1.345 s: 198 good, 2 failed; 198 × 200, 2 × 502";
        assert_eq!(good(line), Some(198));
        assert_eq!(good("error: no"), None);
    }
}
