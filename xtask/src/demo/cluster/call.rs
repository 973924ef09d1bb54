//! One call, and what the sidecars on its way count.

use anyhow::{Context, Result, ensure};
use testbed::Cluster;

use super::{NAMESPACE, pods, run, wait_for};
use crate::demo::chain::Answer;
use crate::demo::screen::Screen;

/// From the client to a server, and from there to the client: each time through two sidecars.
pub(super) const CALL: &str =
    "exec deploy/client -n chassis -- mockserver get http://server:8080/@client/hello";
/// What a sidecar shows on its admin port.
const METRICS: &str = "mockserver get --no-proxy http://127.0.0.1:30102/metrics";
/// Whose sidecars, on which side, for which service: in the order in which they carry the call.
const WAY: [(&str, &str, &str); 4] = [
    ("client", "consumer", "server"),
    ("server", "provider", "server"),
    ("server", "consumer", "client"),
    ("client", "provider", "client"),
];

/// Makes the call once everybody has found each other, and holds it against what the sidecars count.
pub(super) fn show(screen: &Screen, cluster: &Cluster) -> Result<()> {
    // One call after the other reaches both servers, and either has to find the client; and who
    // does not know yet that a sidecar is beside somebody, calls the application itself.
    let carried = || is_carried(cluster).unwrap_or(false);
    wait_for("the call goes through all sidecars twice in a row", || carried() && carried())?;
    let before = counts(cluster)?;
    screen.typed(&format!("kubectl {CALL}"));
    let said = run(cluster, CALL)?;
    let answer = Answer::read(&said).with_context(|| format!("it was answered: {said}"))?;
    answer.draw(screen);
    let calls = answer.all();
    let led_back = calls.iter().any(|(_, call)| call.host == "client" && call.is_answered());
    ensure!(led_back, "it did not lead back to the client: {said}");
    screen.say("mesher_responses_total of the sidecars on its way, before and after:");
    for (((pods, side, service), before), after) in WAY.iter().zip(before).zip(counts(cluster)?) {
        screen.fact(pods, &format!("{side} of {service:<6}  {before} → {after}"));
        ensure!(after == before + 1, "the sidecar of {pods} did not carry the call");
    }
    Ok(())
}

/// Whether the call comes back, with the call that the server made, and each sidecar counts it.
fn is_carried(cluster: &Cluster) -> Result<bool> {
    let before = counts(cluster)?;
    let answer = Answer::read(&run(cluster, CALL)?)?;
    let answered = answer.all().iter().any(|(_, call)| call.is_answered());
    Ok(answered && before.map(|count| count + 1) == counts(cluster)?)
}

/// What the four sidecars have answered so far.
fn counts(cluster: &Cluster) -> Result<[u64; 4]> {
    let mut counts = [0; 4];
    for (count, (app, side, service)) in counts.iter_mut().zip(WAY) {
        for pod in pods(cluster, app)? {
            let metrics = run(cluster, &format!("exec {pod} -n {NAMESPACE} -- {METRICS}"))?;
            let samples = metrics.lines().filter_map(|sample| answered(sample, side, service));
            *count += samples.sum::<u64>();
        }
    }
    Ok(counts)
}

/// The value of a sample, where it counts what was answered well for `service` on that side. To a
/// client of Istio, the service is called by its whole host.
fn answered(sample: &str, side: &str, service: &str) -> Option<u64> {
    let (labels, value) = sample.strip_prefix("mesher_responses_total{")?.split_once("} ")?;
    let has = |name: &str, value: &str| labels.contains(&format!("{name}=\"{value}\""));
    let host = format!("{service}.{NAMESPACE}.svc.cluster.local");
    let is_named = has("service_name", service) || has("service_name", &host);
    let meant = is_named && has("side", side) && has("code", "200");
    meant.then(|| value.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::answered;

    #[test]
    fn a_sample_counts_for_its_side_and_service() {
        let sample = "mesher_responses_total{service_name=\"server\",app=\"default\",\
                      side=\"consumer\",code=\"200\",class=\"2xx\"} 7";
        assert_eq!(answered(sample, "consumer", "server"), Some(7));
        let host = sample.replace("\"server\"", "\"server.chassis.svc.cluster.local\"");
        assert_eq!(answered(&host, "consumer", "server"), Some(7));
        assert_eq!(answered(sample, "provider", "server"), None);
        assert_eq!(answered(sample, "consumer", "client"), None);
        assert_eq!(answered(&sample.replace("200", "502"), "consumer", "server"), None);
        assert_eq!(answered("requests_total{side=\"consumer\"} 1", "consumer", "server"), None);
    }
}
