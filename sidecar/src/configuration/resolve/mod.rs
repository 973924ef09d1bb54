//! From values to [`Settings`].

use std::collections::BTreeMap;

use super::kind;
use super::problem::{Problems, Severity};
use super::values::{Entry, Values};
use crate::settings::{AccessLog, HeaderCase, Limits, Log, LogLevel, LogTarget, Mode, Settings};

mod discovery;
mod egress;
mod handlers;
mod health;
mod identity;
mod listeners;
mod ports;
mod routes;
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
    let health_checks = health::checks(reader, &local);
    let (admin, discovery) = (listeners::admin(reader), discovery::discovery(reader));
    let tls = tls::tags(reader, &identity.service);
    let egress = egress::rules(reader);
    let tracing = tracing::tracing(reader, &identity, &listeners, &tls, &chains);
    Settings {
        mode,
        local,
        listeners,
        identity,
        health_checks,
        admin,
        discovery,
        tls,
        limits: limits(reader, built_in.limits),
        passthrough: match reader
            .text(&["mesher.passthrough"])
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("all") => mesh::Passthrough::All,
            Some("none") => mesh::Passthrough::None,
            _ => mesh::Passthrough::External,
        },
        egress,
        header_case: match reader.text(&["mesher.headerCase"]) {
            Some(text) if text.eq_ignore_ascii_case("title") => HeaderCase::Title,
            _ => HeaderCase::Lower,
        },
        workers: reader.get(&["mesher.workers"], |text| text.parse().ok()),
        breaker: breaker(reader, chains.breaker, built_in.breaker),
        route_rules: routes::rules(reader),
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
    }
}

fn breaker(
    reader: &Reader<'_>,
    in_chain: bool,
    built_in: mesh::BreakerTerms,
) -> mesh::BreakerTerms {
    let key = |name: &str| format!("servicecomb.circuitBreaker.Consumer.{name}");
    let flag = |name, built_in| reader.flag(&[&key(name)]).unwrap_or(built_in);
    let number = |name| reader.get(&[&key(name)], kind::whole);
    mesh::BreakerTerms {
        // The handler has to be in the chain too, as it always had.
        enabled: flag("enabled", built_in.enabled) && in_chain,
        force_open: flag("forceOpen", built_in.force_open),
        force_closed: flag("forceClosed", built_in.force_closed),
        volume: number("requestVolumeThreshold")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(built_in.volume),
        error_percent: number("errorThresholdPercentage")
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(built_in.error_percent),
        sleep: number("sleepWindowInMilliseconds")
            .map_or(built_in.sleep, std::time::Duration::from_millis),
    }
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
