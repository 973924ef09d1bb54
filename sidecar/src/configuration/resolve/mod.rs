//! From values to [`Settings`].

use std::collections::BTreeMap;

use super::kind;
use super::problem::{Problems, Severity};
use super::values::{Entry, Values};
use crate::settings::{
    AccessLog, Discovery, Governance, HeaderCase, Limits, Log, LogLevel, LogTarget, Mode,
    ServiceCenter, Settings, Zone,
};

mod block;
mod center;
mod discovery;
mod egress;
mod handlers;
mod health;
mod identity;
mod limits;
mod listeners;
mod ports;
mod routes;
mod terms;
mod tls;
mod tracing;

/// Whether the files that `tls.yaml` names have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedFiles {
    /// They are about to be used.
    MustExist,
    /// The configuration is looked at on another machine, perhaps.
    MayBeElsewhere,
}

/// What resolving needs: the values, and where to say what is wrong.
pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) problems: &'a mut Problems,
    pub(super) named_files: NamedFiles,
}

impl<'a> Reader<'a> {
    /// The value that counts among keys that mean the same.
    fn entry(&self, keys: &[&str]) -> Option<&'a Entry> {
        self.values.first(keys)
    }

    fn text(&self, keys: &[&str]) -> Option<&'a str> {
        self.entry(keys).and_then(Entry::text)
    }

    /// A parsed value. What cannot be parsed was refused by the table's kind already.
    fn get<T>(&self, keys: &[&str], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.text(keys).and_then(parse)
    }

    fn flag(&self, keys: &[&str]) -> Option<bool> {
        self.get(keys, kind::flag)
    }

    fn say(&mut self, severity: Severity, entry: &Entry, message: impl Into<String>) {
        self.problems.add(severity, Some(&entry.origin), &entry.written, message);
    }

    fn error(&mut self, entry: &Entry, message: impl Into<String>) {
        self.say(Severity::Error, entry, message);
    }

    fn warning(&mut self, entry: &Entry, message: impl Into<String>) {
        self.say(Severity::Warning, entry, message);
    }
}

/// The settings; what is wrong or absent is as built in.
pub(super) fn settings(reader: &mut Reader<'_>) -> Settings {
    let built_in = Settings::default();
    let mode = match reader.text(&["mesher.mode"]) {
        Some(text) if text.eq_ignore_ascii_case("per-host") => Mode::PerHost,
        _ => Mode::Sidecar,
    };
    let local = ports::local(reader);
    let listeners = listeners::listeners(reader, mode, &local);
    let identity = identity::identity(reader, &listeners);
    let chains = handlers::chains(reader);
    let center = center::center(reader);
    let health_checks = health::checks(reader, &local);
    let (admin, discovery) = (listeners::admin(reader), discovery::discovery(reader));
    let tls = tls::tags(reader, &identity.service);
    let egress = egress::rules(reader);
    let tracing = tracing::tracing(reader, &identity, &listeners, &tls, &chains);
    let templates = routes::Templates::read(reader);
    let routes = routes::routes(reader, &identity, &templates, chains.calls_pass("router"));
    let mut governance = governance(reader, &chains, &templates);
    governance.rules = routes.rules;
    governance.close_to = zone(reader, &discovery);
    // Istio says itself whether anything may be called that it does not know.
    let unclaimed = match &discovery {
        Discovery::Pilot(_) => mesh::Passthrough::All,
        Discovery::ServiceCenter(_) => mesh::Passthrough::External,
    };
    Settings {
        mode,
        local,
        listeners,
        identity,
        health_checks,
        admin,
        discovery,
        center,
        tls,
        limits: limits(reader, built_in.limits),
        passthrough: match reader
            .text(&["mesher.passthrough"])
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("all") => mesh::Passthrough::All,
            Some("none") => mesh::Passthrough::None,
            Some("external") => mesh::Passthrough::External,
            _ => unclaimed,
        },
        egress,
        header_case: match reader.text(&["mesher.headerCase"]) {
            Some(text) if text.eq_ignore_ascii_case("title") => HeaderCase::Title,
            _ => HeaderCase::Lower,
        },
        workers: reader.get(&["mesher.workers"], |text| text.parse().ok()),
        governance,
        route_rules: routes.shown,
        tracing,
        log: log(reader),
        access_log: access_log(reader, built_in.access_log),
    }
}

fn limits(reader: &Reader<'_>, built_in: Limits) -> Limits {
    let size = |keys: &[&str], built_in| {
        reader.get(keys, |text| usize::try_from(kind::whole(text)?).ok()).unwrap_or(built_in)
    };
    let time = |keys: &[&str], built_in| reader.get(keys, kind::duration).unwrap_or(built_in);
    // Of one rank, our own key wins, then the one that names a call's deadline in go-chassis.
    let request = [
        "mesher.limits.requestTimeout",
        "servicecomb.isolation.Consumer.timeoutInMilliseconds",
        "servicecomb.transport.timeout.rest",
    ];
    let millis = |text: &str| kind::whole(text).map(std::time::Duration::from_millis);
    Limits {
        header_bytes: size(
            &["mesher.limits.headerBytes", "servicecomb.transport.maxHeaderBytes.rest"],
            built_in.header_bytes,
        ),
        header_fields: size(&["mesher.limits.headerFields"], built_in.header_fields),
        body_bytes: reader.get(
            &["mesher.limits.bodyBytes", "servicecomb.transport.maxBodyBytes.rest"],
            kind::whole,
        ),
        header_timeout: time(&["mesher.limits.headerTimeout"], built_in.header_timeout),
        idle_timeout: time(&["mesher.limits.idleTimeout"], built_in.idle_timeout),
        connect_timeout: time(&["mesher.limits.connectTimeout"], built_in.connect_timeout),
        handshake_timeout: time(&["mesher.limits.handshakeTimeout"], built_in.handshake_timeout),
        // A bare number is the one in milliseconds: the others have units.
        request_timeout: reader
            .get(&request, |text| millis(text).or_else(|| kind::duration(text)))
            .unwrap_or(built_in.request_timeout),
        body_timeout: time(&["mesher.limits.bodyTimeout"], built_in.body_timeout),
        tunnel_timeout: time(&["mesher.limits.tunnelTimeout"], built_in.tunnel_timeout),
        drain_timeout: time(&["mesher.limits.drainTimeout"], built_in.drain_timeout),
        connections: size(&["mesher.limits.connections"], built_in.connections),
        idle_upstream: size(
            &["mesher.limits.idleUpstream", "servicecomb.transport.maxIdleCon.rest"],
            built_in.idle_upstream,
        ),
        in_flight: reader
            .get(&["mesher.limits.inFlight"], |text| usize::try_from(kind::whole(text)?).ok()),
        queue: size(&["mesher.limits.queue"], built_in.queue),
        queue_timeout: time(&["mesher.limits.queueTimeout"], built_in.queue_timeout),
    }
}

/// On which terms requests are sent.
fn governance(
    reader: &mut Reader<'_>,
    chains: &handlers::Chains<'_>,
    templates: &routes::Templates,
) -> Governance {
    let services = terms::services(reader).into_iter().map(|name| {
        let terms = terms::consumer(reader, chains, Some(&name));
        (name, terms)
    });
    let services = services.collect();
    let groups = limits::groups(reader, templates);
    let consumer_groups = chains.calls_pass("rate-limiter");
    let provider_groups = chains.requests_pass("rate-limiter");
    if !chains.calls_pass("fault-inject") {
        left_out(reader, "servicecomb.governance", "fault-inject", "Consumer.outgoing");
    }
    if !consumer_groups && !provider_groups {
        left_out(reader, "servicecomb.rateLimiting", "rate-limiter", "Provider.incoming");
    }
    let marked = |in_chain: bool| if in_chain { templates.marks() } else { Vec::new() };
    let within = |in_chain: bool| if in_chain { groups.clone() } else { Vec::new() };
    Governance {
        services,
        consumer: terms::consumer(reader, chains, None),
        provider: terms::provider(reader, chains),
        callers: limits::callers(reader, chains.requests_pass("ratelimiter-provider")),
        consumer_groups: within(consumer_groups),
        provider_groups: within(provider_groups),
        consumer_marks: marked(chains.calls_pass("traffic-marker")),
        provider_marks: marked(chains.requests_pass("traffic-marker")),
        ..Governance::default()
    }
}

/// Says what has no effect without its handler.
fn left_out(reader: &mut Reader<'_>, prefix: &str, handler: &str, chain: &str) {
    let values = reader.values;
    if let Some((_, entry)) = values.below(prefix).next() {
        let message = format!("has no effect: {handler} is not in handler.chain.{chain}");
        reader.warning(entry, message);
    }
}

/// Where we are, if instances close by are to be preferred.
fn zone(reader: &mut Reader<'_>, discovery: &Discovery) -> Option<Zone> {
    let filters = reader.entry(&["servicecomb.loadbalance.serverListFilters"])?;
    let close = |word: &&str| word.eq_ignore_ascii_case("zoneaware");
    filters.words().iter().find(|word| close(word))?;
    let Discovery::ServiceCenter(ServiceCenter { data_center: Some(ours), .. }) = discovery else {
        reader.warning(
            filters,
            "has no effect: region.region and region.availableZone say where we are",
        );
        return None;
    };
    Some(Zone { region: ours.region.clone(), zone: ours.zone.clone() })
}

fn access_log(reader: &Reader<'_>, built_in: AccessLog) -> AccessLog {
    AccessLog {
        to: match reader.text(&["mesher.accessLog.to"]) {
            None | Some("") => built_in.to,
            Some(word) if word.eq_ignore_ascii_case("off") => LogTarget::Off,
            Some(word) if word.eq_ignore_ascii_case("stdout") => LogTarget::Stdout,
            Some(path) => LogTarget::File(path.into()),
        },
        json: reader
            .text(&["mesher.accessLog.format"])
            .map_or(built_in.json, |text| text.eq_ignore_ascii_case("json")),
        sample: reader.get(&["mesher.accessLog.sample"], kind::share).unwrap_or(built_in.sample),
        errors: reader.flag(&["mesher.accessLog.errors"]).unwrap_or(built_in.errors),
        query: reader.flag(&["mesher.accessLog.query"]).unwrap_or(built_in.query),
    }
}

fn log(reader: &Reader<'_>) -> Log {
    let level = match reader.text(&["logLevel"]).map(str::to_ascii_lowercase).as_deref() {
        Some("error" | "fatal") => LogLevel::Error,
        Some("warn" | "warning") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    Log { level, json: reader.flag(&["logFormatText"]) == Some(false) }
}
