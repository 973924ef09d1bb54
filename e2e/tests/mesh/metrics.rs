//! Metrics as Prometheus reads them, and what is said of them elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::installation::checkout;
use e2e::mesh::{Client, Mesh, Sidecar, eventually};
use hyper::body::Bytes;
use serde_json::Value;
use testbed::{Kie, tools};

/// What is asked for with `/metrics`, and how the reader is told of it.
const FORMATS: [(&str, &str); 2] =
    [("text", "*/*"), ("openmetrics", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")];

/// What one program says of a file: on standard output, and on standard error.
fn promlint(what: &str, file: &Path) -> Result<(String, String)> {
    let output = Command::new(tools::program("promlint")?).arg(what).arg(file).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{what} {}: {said}", file.display());
    Ok((String::from_utf8(output.stdout)?, said))
}

/// A caller and a service that had requests of every kind, and what was asked of them.
struct Scene {
    mesh: Mesh,
    /// What the caller takes keys from.
    _kie: Kie,
    caller: Sidecar,
    orders: Sidecar,
}

impl Scene {
    async fn play() -> Result<Self> {
        let mesh = Mesh::start()?;
        let application = mesh.mockserver("orders", &[])?;
        let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
        let kie = Kie::imitated(0)?;
        let center = format!("http://{}", kie.address());
        let caller = mesh.sidecar("caller").variable("SERVICE_NAME", "caller");
        let caller = caller.key("servicecomb.config.client.serverUri", &center).start()?;
        mesh.registry.wait_for("orders", &["UP"]).await?;
        let mut client = Client::new(caller.consumer);
        for (count, method, url, status) in [
            (20, "GET", "http://orders/", 200),
            (7, "POST", "http://orders/", 200),
            (3, "GET", "http://orders:1/", 403),
            (2, "GET", "http://nobody/", 502),
        ] {
            for _ in 0..count {
                let body = if method == "POST" { "0123456789" } else { "" };
                let reply = client.send(method, url, &[], Bytes::from(body)).await?;
                ensure!(reply.status == status, "{method} {url}: {}", reply.text());
            }
        }
        // Gone, so that what is refused has another reason, and is sent again in vain.
        drop(application);
        for _ in 0..4 {
            let reply = client.get("http://orders/", &[]).await?;
            ensure!(reply.status == 502, "{}", reply.text());
        }
        Ok(Self { mesh, _kie: kie, caller, orders })
    }

    /// What a proxy says in a format, in a file.
    async fn scrape(&self, of: &Sidecar, format: (&str, &str)) -> Result<std::path::PathBuf> {
        let (format, accept) = format;
        let reply = Client::new(of.admin).get("/metrics", &[("accept", accept)]).await?;
        ensure!(reply.status == 200, "{}", reply.text());
        let file = self.mesh.guard().folder().join(format!("{}.{format}", of.admin.port()));
        std::fs::write(&file, reply.body)?;
        Ok(file)
    }

    /// The series that Prometheus would store.
    async fn series(&self, of: &Sidecar, format: (&str, &str)) -> Result<BTreeMap<String, f64>> {
        let (read, _) = promlint(format.0, &self.scrape(of, format).await?)?;
        let series = read.lines().map(|line| {
            let (value, series) = line.split_once(' ').context("a value and a series")?;
            Ok((series.to_owned(), value.parse()?))
        });
        series.collect()
    }
}

/// The sum of all series of that name that have these labels.
fn sum(series: &BTreeMap<String, f64>, name: &str, labels: &[(&str, &str)]) -> u64 {
    let name = format!("__name__=\"{name}\"");
    let fits = |found: &str| {
        let has = |label: &str| {
            found.contains(&format!("{{{label},"))
                || found.contains(&format!(" {label},"))
                || found.contains(&format!(" {label}}}"))
                || found.contains(&format!("{{{label}}}"))
        };
        has(&name) && labels.iter().all(|(label, value)| has(&format!("{label}=\"{value}\"")))
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are counts")]
    let whole = |value: f64| value as u64;
    whole(series.iter().filter(|(found, _)| fits(found)).map(|(_, value)| value).sum())
}

#[tokio::test]
async fn prometheus_reads_what_happened_and_it_adds_up() -> Result<()> {
    let scene = Scene::play().await?;
    for format in FORMATS {
        // The end of a response is counted a moment after its client has it.
        let ended = eventually("all over", async || {
            let series = scene.series(&scene.caller, format).await?;
            let ended = sum(&series, "mesher_request_duration_seconds_count", &[]);
            Ok(if ended == 36 { Ok(series) } else { Err(format!("{ended} of 36")) })
        });
        let caller = ended.await?;
        let orders = [("service_name", "orders")];
        for (name, labels, count) in [
            ("requests_total", &orders[..], 34),
            ("successes_total", &orders, 27),
            ("failures_total", &orders, 7),
            ("status_4xx", &orders, 3),
            ("status_5xx", &orders, 4),
            ("request_latency_seconds_count", &orders, 34),
            ("request_latency_seconds_bucket", &[orders[0], ("le", "+Inf")], 34),
            ("mesher_responses_total", &[orders[0], ("code", "200")], 27),
            ("mesher_responses_total", &[orders[0], ("code", "403")], 3),
            ("mesher_responses_total", &[orders[0], ("code", "502")], 4),
            ("mesher_request_body_bytes_total", &orders, 70),
            ("mesher_requests_in_flight", &[], 0),
            ("requests_total", &[("service_name", "unknown")], 2),
            ("requests_total", &[], 36),
            ("mesher_refusals_total", &[("reason", "no_instance")], 2),
            ("mesher_refusals_total", &[], 2),
            ("mesher_broken_off_total", &[], 0),
            ("Consumer_attempts", &[("target", "orders")], 34),
            ("Consumer_errors", &[("target", "orders")], 7),
        ] {
            assert_eq!(sum(&caller, name, labels), count, "{name} {labels:?} in {caller:#?}");
        }
        let service = scene.series(&scene.orders, format).await?;
        let refused = |reason| sum(&service, "mesher_refusals_total", &[("reason", reason)]);
        // Whether the caller asks once more depends on whether there is anybody else to ask.
        let resent = sum(&caller, "mesher_resends_total", &[]);
        assert_eq!((refused("port_denied"), refused("local_refused")), (3, 4 + resent));
        let provider = [("side", "provider"), ("service_name", "orders")];
        assert_eq!(sum(&service, "mesher_responses_total", &provider), 34 + resent);
    }
    Ok(())
}

#[tokio::test]
async fn promtool_has_nothing_to_say_but_about_the_originals_names() -> Result<()> {
    let scene = Scene::play().await?;
    for proxy in [&scene.caller, &scene.orders] {
        let (_, said) = promlint("text", &scene.scrape(proxy, FORMATS[0]).await?)?;
        let own: Vec<_> = said
            .lines()
            .filter(|line| !line.starts_with("Consumer_") && !line.starts_with("Provider_"))
            .collect();
        assert!(own.is_empty(), "{own:#?}");
    }
    Ok(())
}

/// The families in a text of the older format: type, and names of labels.
fn families(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or(line.len()));
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = [Some(name), stem].into_iter().flatten().find(|n| families.contains_key(*n));
        let Some((_, labels)) = family.and_then(|name| families.get_mut(name)) else {
            panic!("{line} belongs to nothing")
        };
        let inside = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}'));
        for (at, _) in inside.map_or("", |(inside, _)| inside).match_indices("=\"") {
            let before = &inside.expect("labels").0[..at];
            let label = &before[before.rfind(',').map_or(0, |comma| comma + 1)..];
            if label != "le" {
                labels.insert(label.to_owned());
            }
        }
    }
    families
}

#[tokio::test]
async fn the_documentation_lists_every_metric_as_it_is() -> Result<()> {
    let scene = Scene::play().await?;
    let mut given = BTreeMap::new();
    for proxy in [&scene.caller, &scene.orders] {
        let text = std::fs::read_to_string(scene.scrape(proxy, FORMATS[0]).await?)?;
        for (name, (kind, labels)) in families(&text) {
            given.entry(name).or_insert((kind, BTreeSet::new())).1.extend(labels);
        }
    }
    let page = std::fs::read_to_string(checkout("docs/metrics.md"))?;
    let mut told = BTreeMap::new();
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = page.lines().skip_while(|line| !line.starts_with("| name |")).skip(2);
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for name in quoted(cells[1]) {
            told.insert(name, (cells[2].to_owned(), quoted(cells[3]).into_iter().collect()));
        }
    }
    for (name, (kind, labels)) in &given {
        let Some((told_kind, told_labels)) = told.get(name) else {
            panic!("{name} is not in docs/metrics.md")
        };
        let told_labels: &BTreeSet<String> = told_labels;
        assert_eq!(kind, told_kind, "{name}");
        // What never happened has no series, and so no labels.
        assert!(labels.is_empty() || labels == told_labels, "{name}: {labels:?} {told_labels:?}");
    }
    let gone: Vec<_> = told.keys().filter(|name| !given.contains_key(*name)).collect();
    assert!(gone.is_empty(), "{gone:?} are in docs/metrics.md, and nowhere else");
    Ok(())
}

/// Everything below `value` that stands at `key`.
fn strings_at<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| strings_at(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| strings_at(value, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn alerts_and_dashboard_ask_for_metrics_that_there_are() -> Result<()> {
    let scene = Scene::play().await?;
    let text = std::fs::read_to_string(scene.scrape(&scene.caller, FORMATS[0]).await?)?;
    let given = families(&text);
    let read = |name: &str| std::fs::read_to_string(checkout("examples/observability").join(name));
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")?)?;
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")?)?;
    for (document, least) in [(&alerts, 8), (&dashboard, 13)] {
        let mut expressions = Vec::new();
        strings_at(document, "expr", &mut expressions);
        assert!(expressions.len() >= least, "{expressions:?}");
        let lines = expressions.iter().map(|expression| {
            // What Grafana puts in.
            expression.replace("$__rate_interval", "5m").replace('\n', " ") + "\n"
        });
        let file = scene.mesh.guard().folder().join("expressions");
        std::fs::write(&file, lines.collect::<String>())?;
        let (names, _) = promlint("names", &file)?;
        assert!(names.lines().count() >= least, "{names}");
        for name in names.lines() {
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let known = [Some(name), stem].into_iter().flatten().any(|n| given.contains_key(n));
            assert!(known, "{name} is asked for, and not given");
        }
    }
    Ok(())
}
