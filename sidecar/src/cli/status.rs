//! `mesher status`: what the page shows, for terminals and for pods without a browser or curl.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::ask::{address, ask, within};
use crate::configuration::Inputs;

/// How long it may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer; a thousand services with their instances have room in it.
const LONGEST: usize = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Only services with this in their key, APP/SERVICE
    #[arg(long, value_name = "PART", default_value = "")]
    search: String,
    /// Which services
    #[arg(long, value_enum, default_value_t = Only::All)]
    only: Only,
    /// The most services, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// `{"status": …, "connections": …, "services": …}`, as the admin port has them
    Json,
}

/// Which services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    /// Every one that is followed
    All,
    /// Those with a request in the last ten minutes
    Used,
    /// Those where something is wrong
    Trouble,
}

pub(super) fn run(args: &Args, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let address = address(inputs);
    let only = match args.only {
        Only::All => "all",
        Only::Used => "used",
        Only::Trouble => "trouble",
    };
    let search = utf8_percent_encode(&args.search, NON_ALPHANUMERIC);
    let instances = if args.output == Format::Json { 20 } else { 0 };
    let services = format!(
        "/v1/mesher/services?only={only}&limit={}&instances={instances}&search={search}",
        args.limit
    );
    let get = async |path: &str| {
        let body = ask(address, Method::GET, path, LONGEST).await?;
        serde_json::from_slice::<Value>(&body)
            .with_context(|| format!("{address}{path}: no JSON: is this mesher's admin port?"))
    };
    let (status, connections, services) = within(DEADLINE, address, "", async {
        Ok((
            get("/v1/mesher/status").await?,
            get("/v1/mesher/connections").await?,
            get(&services).await?,
        ))
    })?;
    let all = json!({"status": status, "connections": connections, "services": services});
    super::print(&match args.output {
        Format::Json => serde_json::to_string_pretty(&all)? + "\n",
        Format::Text => text(&all),
    })
}

/// What stands at `path` (RFC 6901), for people: names are others' and may hold anything.
fn at(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => {
            text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
        }
        Some(other) => other.to_string(),
    }
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}

fn text(all: &Value) -> String {
    let mut text = String::new();
    let at_status = |path: &str| at(all, &format!("/status{path}"));
    let since = Duration::try_from_secs_f64(number(all, "/status/uptimeSeconds").trunc());
    let since = since.unwrap_or_default();
    let _ = writeln!(
        text,
        "{} {} of {}: {} for {}, mesher {}",
        at_status("/identity/service"),
        at_status("/identity/version"),
        at_status("/identity/app"),
        at_status("/phase"),
        humantime::format_duration(since),
        at_status("/version"),
    );
    for (name, said) in lines(all) {
        let _ = writeln!(text, "{name:<15}{said}");
    }
    text.push('\n');
    let list = all.pointer("/services/services").and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let heads = ["SERVICE", "INSTANCES", "REQUESTS", "FAILED", "MEAN", "IN FLIGHT", "BREAKER", ""];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(list.iter().map(row));
    text.push_str(&table(&rows));
    let matched = all.pointer("/services/matched").and_then(Value::as_u64).unwrap_or_default();
    let more = matched.saturating_sub(list.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more: --search, --only or --limit");
    }
    text
}

/// The lines about the proxy itself.
fn lines(all: &Value) -> Vec<(&'static str, String)> {
    let at_status = |path: &str| at(all, &format!("/status{path}"));
    let mut lines = Vec::new();
    let discovery = |path: &str| at(all, &format!("/status/discovery{path}"));
    let mut said = format!("{} {}", discovery("/backend"), discovery("/state"));
    if discovery("/state") == "stale" {
        let _ = write!(said, " since {}: {}", discovery("/staleSince"), discovery("/error"));
    }
    let _ = write!(
        said,
        ", {} services, {} instances",
        discovery("/services"),
        discovery("/instances")
    );
    lines.push(("discovery", said));
    let registration =
        match (discovery("/registration/serviceId"), discovery("/registration/instanceStatus")) {
            (id, _) if id.is_empty() => "not registered".to_owned(),
            (id, status) if status.is_empty() => format!("as {id}, without an instance"),
            (id, status) => format!("as {id}, instance {status}"),
        };
    lines.push(("registered", registration));
    let mut said = format!(
        "of {}, {} errors, {} warnings",
        at_status("/configuration/loadedAt"),
        at_status("/configuration/errors"),
        at_status("/configuration/warnings")
    );
    let restart = all.pointer("/status/configuration/restartNeeded").and_then(Value::as_array);
    if let Some(restart) = restart.filter(|restart| !restart.is_empty()) {
        let names: Vec<String> = restart.iter().map(|name| at(name, "")).collect();
        let _ = write!(said, ", after a restart only: {}", names.join(", "));
    }
    lines.push(("configuration", said));
    lines.extend(all.pointer("/status/configuration/center").into_iter().flat_map(center));
    let certificates = all.pointer("/status/certificates").and_then(Value::as_array);
    for one in certificates.into_iter().flatten() {
        let tag = Some(at(one, "/tag")).filter(|tag| !tag.is_empty());
        let tag = tag.unwrap_or_else(|| "(bare keys)".to_owned());
        let ends = Some(at(one, "/expiresAt")).filter(|ends| !ends.is_empty());
        let ends = ends.map_or("none of its own".to_owned(), |ends| format!("ends {ends}"));
        let fault = at(one, "/fault");
        let fault = if fault.is_empty() { fault } else { format!(", faulty files: {fault}") };
        lines.push(("certificate", format!("{tag} {ends}{fault}")));
    }
    lines.push((
        "connections",
        format!(
            "{} from clients, {} to instances, {} tunnels",
            at(all, "/connections/total/clients"),
            at(all, "/services/totals/connections"),
            at(all, "/connections/total/tunnels")
        ),
    ));
    if !at_status("/unwell").is_empty() {
        lines.push(("unwell", at_status("/unwell")));
    }
    lines
}

/// The lines about a configuration center.
fn center(center: &Value) -> Vec<(&'static str, String)> {
    let mut said = format!("{}: {}", at(center, "/name"), at(center, "/state"));
    if at(center, "/state") == "stale" {
        let _ = write!(said, " since {}: {}", at(center, "/staleSince"), at(center, "/error"));
    }
    let answer = at(center, "/lastSuccess");
    if !answer.is_empty() {
        let _ = write!(said, ", last answer {answer}");
    }
    let mut lines = vec![("center", said)];
    let list = |path: &str| {
        let list = center.pointer(path).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    };
    lines.extend(list("/layers").iter().map(|layer| {
        let (name, count) = (at(layer, "/name"), at(layer, "/keyCount"));
        let revision = Some(at(layer, "/revision")).filter(|revision| !revision.is_empty());
        let revision = revision.map_or(String::new(), |it| format!(", revision {it}"));
        ("  held for", format!("{name}: {count} keys{revision}"))
    }));
    let still = match center.pointer("/lastRefused/current").and_then(Value::as_bool) {
        Some(true) => "in force is what was said before",
        _ => "put right since",
    };
    lines.extend(list("/lastRefused/errors").iter().map(|error| {
        let when = at(center, "/lastRefused/at");
        let said = ["/origin", "/key", "/message"].map(|path| at(error, path)).join(": ");
        ("  refused", format!("{when}, {still}: {said}"))
    }));
    lines
}

fn row(service: &Value) -> [String; 8] {
    let counted = |name: &str| at(service, &format!("/counters/{name}"));
    let usable = number(service, "/endpointCount") - number(service, "/evictedCount");
    let (requests, sum) =
        (number(service, "/counters/requests"), number(service, "/counters/latencySecondsSum"));
    let mean = if requests > 0.0 { format!("{:.1} ms", sum / requests * 1e3) } else { "-".into() };
    [
        at(service, "/key"),
        format!("{usable} of {}", at(service, "/instanceCount")),
        counted("requests"),
        counted("failures"),
        mean,
        at(service, "/inFlight"),
        at(service, "/breaker/state"),
        at(service, "/trouble"),
    ]
}

/// Columns as wide as they have to be, the numbers to the right.
fn table(rows: &[[String; 8]]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match at {
                2..=5 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn all_of_it_in_a_terminal() {
        let service = |name: &str, requests: u64, trouble| {
            json!({
                "key": format!("default/{name}"), "endpointCount": 2, "evictedCount": 1,
                "instanceCount": 3, "inFlight": 4, "breaker": {"state": "open"}, "trouble": trouble,
                "counters": {"requests": requests, "failures": 5, "latencySecondsSum": 0.5},
            })
        };
        let all = json!({
            "status": {
                "version": "0.1.0", "uptimeSeconds": 75.5, "phase": "serving",
                "identity": {"app": "shop", "service": "front", "version": "2.1"},
                "discovery": {
                    "backend": "sc", "state": "stale", "staleSince": "2026-01-02T03:04:05Z",
                    "error": "refused", "services": 2, "instances": 6,
                    "registration": {"serviceId": "abc", "instanceStatus": "UP"},
                },
                "configuration": {
                    "loadedAt": "2026-01-02T03:00:00Z", "errors": 1, "warnings": 0,
                    "restartNeeded": ["listeners", "log"],
                    "center": {
                        "name": "servicecomb-kie at http://kie:30110", "state": "stale",
                        "staleSince": "2026-01-02T03:04:06Z", "error": "refused",
                        "lastSuccess": "2026-01-02T03:04:04Z",
                        "layers": [
                            {"name": "app=shop", "keyCount": 2, "revision": "7"},
                            {"name": "app=shop,service=front", "keyCount": 0},
                        ],
                        "lastRefused": {
                            "at": "2026-01-02T03:03:00Z", "current": false, "errors": [{
                                "severity": "error", "origin": "kie (app=shop)", "key": "a.b",
                                "message": "no number\u{7}",
                            }],
                        },
                    },
                },
                "certificates": [{"tag": "", "expiresAt": "2026-02-02T00:00:00Z", "fault": "no key"}],
                "unwell": "refused",
            },
            "connections": {"total": {"clients": 7, "tunnels": 1}},
            "services": {
                "matched": 9, "totals": {"connections": 8},
                "services": [service("a\u{1b}[2J", 0, json!(null)), service("orders", 1000, json!("circuit_open"))],
            },
        });
        let expected = "\
front 2.1 of shop: serving for 1m 15s, mesher 0.1.0
discovery      sc stale since 2026-01-02T03:04:05Z: refused, 2 services, 6 instances
registered     as abc, instance UP
configuration  of 2026-01-02T03:00:00Z, 1 errors, 0 warnings, after a restart only: listeners, log
center         servicecomb-kie at http://kie:30110: stale since 2026-01-02T03:04:06Z: refused, last answer 2026-01-02T03:04:04Z
  held for     app=shop: 2 keys, revision 7
  held for     app=shop,service=front: 0 keys
  refused      2026-01-02T03:03:00Z, put right since: kie (app=shop): a.b: no number?
certificate    (bare keys) ends 2026-02-02T00:00:00Z, faulty files: no key
connections    7 from clients, 8 to instances, 1 tunnels
unwell         refused

SERVICE         INSTANCES  REQUESTS  FAILED    MEAN  IN FLIGHT  BREAKER
default/a?[2J   1 of 3            0       5       -          4  open
default/orders  1 of 3         1000       5  0.5 ms          4  open     circuit_open
and 7 more: --search, --only or --limit
";
        assert_eq!(text(&all), expected);
    }
}
