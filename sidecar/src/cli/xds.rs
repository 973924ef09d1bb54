//! `mesher xds`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use discovery::ads::translate::{
    Address, Assignment, ClusterSpec, Found, Outside, Resource, RouteTable,
};
use discovery::ads::{Dump, Kind, dump};
use mesh::route::{Condition, Test};
use mesh::virtual_host::{Action, HeaderTest, PathMatch, QueryTest, RequestMatch, RouteRule};
use serde_json::{Map, Value, json};

use crate::configuration::Inputs;
use crate::pilot;
use crate::settings::{Discovery, Pilot};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print, as JSON, what istiod would send, as mesher reads it
    ///
    /// Who asks is taken from the configuration and the environment, as `mesher run` takes it.
    /// What could not be read is in `refused`, and the exit code is 3 then.
    Dump {
        /// istiod, instead of the one that is configured
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
        /// How long to listen for what does not come
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
}

pub(super) fn run(args: &Args, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let Command::Dump { address, wait } = &args.command;
    let settings = inputs.read().settings()?;
    let terms = match (&settings.discovery, address) {
        (Discovery::Pilot(terms), None) => terms.clone(),
        (Discovery::Pilot(terms), Some(address)) => {
            let (address, tls) = (address.clone(), address.ends_with(":15012"));
            Pilot { address, tls, ..terms.clone() }
        }
        (_, Some(address)) => Pilot::at(address, address.ends_with(":15012")),
        (Discovery::ServiceCenter(_), None) => bail!(
            "services are not learned of from Istio here: set DISCOVERY_TYPE=pilot, or name istiod \
             with --address"
        ),
    };
    let options = pilot::options(&settings, &terms);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let dump = runtime.block_on(dump(&options, *wait))?;
    let printed = serde_json::to_string_pretty(&shown(&options.node.id(), &dump))? + "\n";
    let code = super::print(&printed)?;
    Ok(if dump.faults.is_empty() { code } else { ExitCode::from(super::FAULTY) })
}

fn shown(node: &str, dump: &Dump) -> Value {
    let (mut clusters, mut endpoints, mut routes) = (Vec::new(), Vec::new(), Vec::new());
    for resource in &dump.resources {
        match resource {
            Resource::Cluster(cluster) => clusters.push(of_cluster(cluster)),
            Resource::Assignment(assignment) => endpoints.push(of_assignment(assignment)),
            Resource::Routes(table) => routes.push(of_routes(table)),
        }
    }
    let refused = dump
        .faults
        .iter()
        .map(|(kind, fault): &(Kind, String)| json!({"kind": kind.word(), "reason": fault}));
    json!({
        "node": node,
        "variant": dump.variant.word(),
        "complete": dump.complete,
        "clusters": clusters,
        "endpoints": endpoints,
        "routes": routes,
        "refused": refused.collect::<Vec<_>>(),
    })
}

fn of_cluster(cluster: &ClusterSpec) -> Value {
    let terms = &cluster.terms;
    let (found, inline) = match &cluster.found {
        Found::Told(name) => (format!("told as {name}"), None),
        Found::Fixed(assignment) => ("fixed".to_owned(), Some(assignment)),
        Found::LookedUp { names, .. } => ("looked up".to_owned(), Some(names)),
        Found::AsAsked => ("as asked".to_owned(), None),
    };
    let mut told = json!({
        "name": *cluster.name,
        "endpoints": found,
        "protocol": cluster.protocol.as_str(),
        "balance": terms.balance.word(),
        "security": terms.security.word(),
        "panicPercent": terms.panic_percent,
    });
    if let Some(place) = &cluster.place {
        told["host"] = json!(*place.host);
        told["port"] = json!(place.port);
        told["subset"] = json!(*place.label);
        told["namespace"] = json!(*cluster.namespace);
    }
    if let Some(time) = terms.connect_timeout {
        told["connectTimeoutSeconds"] = json!(time.as_secs_f64());
    }
    let outliers = &terms.outliers;
    if outliers.is_on() {
        told["outliers"] = json!({
            "errors": outliers.errors,
            "gatewayErrors": outliers.gateway_errors,
            "firstSeconds": outliers.first.as_secs_f64(),
            "longestSeconds": outliers.longest.as_secs_f64(),
            "mostPercent": outliers.most_percent,
        });
    }
    told["limits"] = json!({
        "connections": terms.limits.connections,
        "pending": terms.limits.pending,
        "requests": terms.limits.requests,
        "retries": terms.limits.retries,
        "requestsPerConnection": terms.limits.requests_per_connection,
    });
    if let Some(inline) = inline {
        told["members"] = of_assignment(inline)["endpoints"].take();
    }
    told["unsupported"] = texts(&terms.unsupported);
    told
}

fn of_assignment(assignment: &Assignment) -> Value {
    let endpoints = assignment.peers.iter().map(|peer| {
        let address = match &peer.address {
            Address::Known(address) => address.to_string(),
            Address::Name(name, port) => format!("{name}:{port}"),
        };
        json!({
            "address": address,
            "serves": peer.status.serves(),
            "weight": peer.weight,
            "priority": peer.priority,
            "region": *peer.locality.region,
            "zone": *peer.locality.zone,
            "workload": peer.workload.as_deref(),
            "mutualTls": peer.mutual_tls,
        })
    });
    json!({
        "cluster": *assignment.cluster,
        "endpoints": endpoints.collect::<Vec<_>>(),
        "unsupported": texts(&assignment.unsupported),
    })
}

fn of_routes(table: &RouteTable) -> Value {
    let hosts = table.hosts.iter().map(|host| {
        json!({
            "host": *host.host,
            "port": host.port,
            "domains": texts(&host.domains),
            "rules": host.rules.iter().map(of_rule).collect::<Vec<_>>(),
            "unsupported": texts(&host.unsupported),
        })
    });
    json!({
        "name": *table.name,
        "hosts": hosts.collect::<Vec<_>>(),
        "outside": match table.outside {
            Outside::Unsaid => "unsaid",
            Outside::Open => "open",
            Outside::Closed => "closed",
        },
        "unsupported": texts(&table.unsupported),
    })
}

fn of_rule(rule: &RouteRule) -> Value {
    let mut told = json!({"matches": of_match(&rule.matches)});
    if !rule.name.is_empty() {
        told["name"] = json!(*rule.name);
    }
    match &rule.action {
        Action::Forward(forward) => {
            let to = forward.destinations.iter();
            let to = to.map(|to| json!({"cluster": *to.cluster, "weight": to.weight}));
            told["destinations"] = to.collect();
            told["timeoutSeconds"] = json!(forward.timeout.map(|time| time.as_secs_f64()));
            if let Some(retry) = &forward.retry {
                told["retry"] = json!({
                    "on": retry.on.iter().map(|on| on.word()).collect::<Vec<_>>(),
                    "retries": retry.retries,
                    "perTrySeconds": retry.per_try_timeout.map(|time| time.as_secs_f64()),
                    "statuses": retry.statuses,
                });
            }
            let mirrors = forward.mirrors.iter();
            let mirrors =
                mirrors.map(|it| json!({"cluster": *it.cluster, "share": it.share.to_string()}));
            let mirrors: Vec<_> = mirrors.collect();
            if !mirrors.is_empty() {
                told["mirrors"] = json!(mirrors);
            }
        }
        Action::Redirect(redirect) => {
            told["redirect"] = json!({"status": redirect.status, "host": redirect.host.as_deref()});
        }
        Action::Respond(respond) => {
            let body = String::from_utf8_lossy(&respond.body);
            told["respond"] = json!({"status": respond.status, "body": body});
        }
    }
    if let Some(fault) = &rule.fault {
        told["fault"] = json!({
            "delaySeconds": fault.delay.map(|delay| delay.time.as_secs_f64()),
            "delayShare": fault.delay.map(|delay| delay.share.to_string()),
            "abortStatus": fault.abort.map(|abort| abort.status),
            "abortShare": fault.abort.map(|abort| abort.share.to_string()),
        });
    }
    told["unsupported"] = texts(&rule.unsupported);
    told
}

fn of_match(wanted: &RequestMatch) -> Value {
    let mut told = Map::new();
    match &wanted.path {
        PathMatch::Any => {}
        PathMatch::Text(condition) => {
            told.insert("path".to_owned(), of_condition(condition));
        }
        PathMatch::Segments { prefix, .. } => {
            told.insert("path".to_owned(), json!({"beginsWithSegments": **prefix}));
        }
    }
    for header in &wanted.headers {
        let mut test = match &header.test {
            HeaderTest::Present(wanted) => json!({"present": wanted}),
            HeaderTest::Text(condition) => of_condition(condition),
            HeaderTest::Range(from, to) => json!({"from": from, "below": to}),
        };
        if header.invert {
            test["not"] = json!(true);
        }
        told.insert(format!("header {}", header.name), test);
    }
    for parameter in &wanted.query {
        let test = match &parameter.test {
            QueryTest::Present(wanted) => json!({"present": wanted}),
            QueryTest::Text(condition) => of_condition(condition),
        };
        told.insert(format!("query {}", parameter.name), test);
    }
    if let Some(share) = wanted.share {
        told.insert("share".to_owned(), json!(share.to_string()));
    }
    Value::Object(told)
}

fn of_condition(condition: &Condition) -> Value {
    let mut told = match &condition.test {
        Test::Is(text) => json!({"is": **text}),
        Test::Begins(text) => json!({"begins": **text}),
        Test::Ends(text) => json!({"ends": **text}),
        Test::Contains(text) => json!({"contains": **text}),
        Test::Matches(pattern) => json!({"matches": pattern.as_str()}),
        Test::Above(bound) => json!({"above": bound}),
        Test::Below(bound) => json!({"below": bound}),
        Test::AtLeast(bound) => json!({"atLeast": bound}),
        Test::AtMost(bound) => json!({"atMost": bound}),
    };
    if condition.any_case {
        told["anyCase"] = json!(true);
    }
    told
}

fn texts(texts: &[std::sync::Arc<str>]) -> Value {
    texts.iter().map(|text| json!(**text)).collect()
}
