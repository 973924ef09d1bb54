//! What the API server itself counted of its calls to the injector
//! (`apiserver_admission_webhook_*`), since it started. Where several API servers share the work,
//! only the one that answers is read.

use std::collections::BTreeMap;

use futures::{AsyncBufReadExt, TryStreamExt};

use super::api::{About, Error, Inspection, Reply};
use super::webhook::Webhook;
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::kubernetes::get;

/// Calls that took longer than this, in seconds, are slow. One of the metric's own bounds.
const SLOW: &str = "0.5";

/// The metrics' common beginning.
const PREFIX: &str = "apiserver_admission_webhook_";

/// What one API server counted of calls to entries of ours.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    /// Pods let through though the call failed.
    failed_open: f64,
    /// Pods refused as the call failed.
    failed_closed: f64,
    calls: f64,
    quick: f64,
}

pub(super) async fn check(on: &mut Inspection<'_>, webhook: &Webhook) -> Result<(), Error> {
    let about = About {
        what: "the API server's own count of failed and slow calls",
        needs: "get on the URL /metrics",
    };
    let client = on.client.clone();
    let names: Vec<&str> = webhook.entries.iter().map(super::webhook::Entry::name).collect();
    let counting = async {
        let mut counted = Counted::default();
        // Line by line: the whole is megabytes.
        let stream = client.request_stream(get("/metrics")).await?;
        let mut lines = stream.lines();
        while let Some(line) = lines.try_next().await.map_err(kube::Error::ReadEvents)? {
            counted.read(&line, &names);
        }
        Ok(counted)
    };
    let Reply::Found(counted) = on.ask(about, counting).await? else {
        return Ok(());
    };
    judge(on, webhook, &counted);
    Ok(())
}

fn judge(on: &mut Inspection<'_>, webhook: &Webhook, counted: &Counted) {
    let Counted { failed_open, failed_closed, calls, quick } = counted;
    if failed_open + failed_closed > 0.0 {
        let problem = format!(
            "since it started, the API server has let {failed_open} requests through without an \
             answer of the injector, and refused {failed_closed}"
        );
        let remedy = Remedy::advice(
            "restart what sidecar_missing names; the API server's log says why the calls failed, \
             and its restart resets the count",
        );
        on.found(Code::WebhookFailed, "", webhook.label(), problem, remedy);
    }
    let slow = calls - quick;
    if slow > calls / 100.0 {
        let problem = format!("{slow} of the API server's {calls} calls took longer than {SLOW} s");
        let remedy = Remedy::advice(
            "give the injector CPU or more replicas, and look at the network between the API \
             server and it",
        );
        on.found(Code::WebhookSlow, "", webhook.label(), problem, remedy);
    }
}

impl Counted {
    /// Takes in a line of the text format.
    fn read(&mut self, line: &str, names: &[&str]) {
        let Some((series, value)) =
            line.strip_prefix(PREFIX).and_then(|line| line.rsplit_once(' '))
        else {
            return;
        };
        let Some((metric, labels)) = series.strip_suffix('}').and_then(|s| s.split_once('{'))
        else {
            return;
        };
        let labels = labels_of(labels);
        let label = |key: &str| labels.get(key).copied().unwrap_or_default();
        let (true, Ok(value)) = (names.contains(&label("name")), value.parse::<f64>()) else {
            return;
        };
        match metric {
            "fail_open_count" => self.failed_open += value,
            // `no_error` is the injector's own refusal.
            "rejection_count" if label("error_type") != "no_error" => self.failed_closed += value,
            "admission_duration_seconds_count" => self.calls += value,
            "admission_duration_seconds_bucket" if label("le") == SLOW => self.quick += value,
            _ => {}
        }
    }
}

/// `a="x",b="y"`; none of the values that matter here is escaped.
fn labels_of(text: &str) -> BTreeMap<&str, &str> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, next)) = after.split_once('"') else {
            break;
        };
        labels.insert(key, value);
        rest = next.trim_start_matches(',');
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_ours_count() {
        let text = r#"
# HELP apiserver_admission_webhook_fail_open_count x
apiserver_admission_webhook_fail_open_count{name="ours.io",type="admit"} 3
apiserver_admission_webhook_fail_open_count{name="other.io",type="admit"} 50
apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="ours.io",operation="CREATE",rejection_code="0",type="admit"} 2
apiserver_admission_webhook_rejection_count{error_type="no_error",name="ours.io",operation="CREATE",rejection_code="403",type="admit"} 7
apiserver_admission_webhook_admission_duration_seconds_bucket{name="ours.io",operation="CREATE",rejected="false",type="admit",le="0.5"} 90
apiserver_admission_webhook_admission_duration_seconds_bucket{name="ours.io",operation="CREATE",rejected="true",type="admit",le="0.5"} 5
apiserver_admission_webhook_admission_duration_seconds_bucket{name="ours.io",operation="CREATE",rejected="false",type="admit",le="+Inf"} 95
apiserver_admission_webhook_admission_duration_seconds_count{name="ours.io",operation="CREATE",rejected="false",type="admit"} 95
apiserver_admission_webhook_admission_duration_seconds_count{name="ours.io",operation="CREATE",rejected="true",type="admit"} 5
apiserver_request_total{name="ours.io"} 1
apiserver_admission_webhook_fail_open_count{name="ours.io" 9
"#;
        let mut counted = Counted::default();
        text.lines().for_each(|line| counted.read(line, &["ours.io"]));
        let expected = Counted { failed_open: 3.0, failed_closed: 2.0, calls: 100.0, quick: 95.0 };
        assert_eq!(counted, expected);
    }
}
