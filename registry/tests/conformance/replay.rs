//! Replaying recordings and comparing answers.
//!
//! Ids of services are derived from their names and have to be the recorded ones. Ids of instances
//! are random, and revisions stand for content with timestamps: of both, the recorded one and the
//! one that is answered in its place have to stay together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::differences::{self, Difference};
use super::http::{self, Reply};
use super::recording::{self, Step};
use super::server::Registry;
use super::setup;

const RECORDINGS: [(&str, &str); 3] = [
    ("services", include_str!("../data/services.txt")),
    ("instances", include_str!("../data/instances.txt")),
    ("deletes", include_str!("../data/deletes.txt")),
];
/// The headers that clients look at.
const HEADERS: [&str; 6] = [
    "content-type",
    "x-resource-revision",
    "x-schema-summary",
    "deprecation",
    "x-content-type-options",
    "sec-websocket-version",
];
const REVISION: &str = "x-resource-revision";
/// The revision of nothing is the same everywhere.
const EMPTY: &str = "97784746be9a2d00f08bc72fe1ce5ff8c7d07ffe";

/// Replays everything, and names each step whose answer is not as recorded.
pub(crate) fn all(registry: &Registry) -> Result<()> {
    let mut recordings = Vec::new();
    for (name, text) in RECORDINGS {
        recordings.push((name, recording::parse(text)?));
    }
    differences::check_names(&recordings);
    let (mut wrong, mut replayed) = (Vec::new(), 0);
    let mut replay = Replay { registry, names: BTreeMap::new(), harmed: false };
    for (recording, steps) in recordings {
        setup::before(registry, recording)?;
        replay.harmed = false;
        for step in steps {
            replayed += 1;
            if let Err(problem) = replay.step(recording, &step) {
                wrong.push(format!("{recording}: {}: {problem:#}", step.name));
            }
        }
    }
    assert!(replayed > 150, "only {replayed} steps were read");
    assert!(wrong.is_empty(), "{} of {replayed} differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

struct Replay<'a> {
    registry: &'a Registry,
    /// What was answered in place of a recorded id or revision.
    names: BTreeMap<String, String>,
    /// Whether recorded instances lack their status, and have properties from before.
    harmed: bool,
}

impl Replay<'_> {
    fn step(&mut self, recording: &str, step: &Step) -> Result<()> {
        let difference = differences::of(recording, &step.name);
        let target = self.translate(&step.target);
        let body = step.body.as_ref().map(|body| self.translate(body));
        let headers: Vec<_> = step
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), self.translate(value)))
            .collect();
        // The original shows changes some time later, so its answers may take some asking.
        let patience = Duration::from_secs(if self.registry.real { 5 } else { 0 });
        let began = Instant::now();
        loop {
            let (method, body) = (step.method.as_str(), body.as_deref());
            let reply = http::send(&self.registry.address, method, &target, &headers, body)?;
            match self.compare(step, &reply, difference) {
                Err(_) if method == "GET" && began.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                compared => return compared,
            }
        }
    }

    fn compare(&mut self, step: &Step, ours: &Reply, difference: Option<Difference>) -> Result<()> {
        let recorded = &step.reply;
        self.learn(recorded, ours, difference);
        match difference {
            Some(Difference::Harmless) => {
                self.harmed = true;
                let refused = ours.status == 400 && ours.json()["errorCode"] == "400001";
                let as_recorded = self.registry.real && ours.status == recorded.status;
                return same("being refused", &true, &(refused || as_recorded));
            }
            Some(Difference::GoneSooner) if ours.json() == serde_json::json!({}) => {
                return same("revision", &Some(EMPTY), &ours.header(REVISION));
            }
            _ => {}
        }
        same("status", &recorded.status, &ours.status)?;
        for name in HEADERS {
            let theirs = recorded.header(name).map(|value| self.translate(value));
            same(name, &theirs.as_deref(), &ours.header(name))?;
        }
        same("allow", &methods(recorded), &methods(ours))?;
        let mut theirs = recorded.json();
        if theirs.is_null() {
            return same("body", &recorded.body.as_str(), &ours.body.trim());
        }
        theirs = serde_json::from_str(&self.translate(&theirs.to_string()))?;
        let mut answered = ours.json();
        let harmed = self.harmed;
        for value in [&mut theirs, &mut answered] {
            normalise(value, harmed, difference);
        }
        match first_difference("", &theirs, &answered) {
            Some((place, theirs, answered)) => {
                same(&format!("body at {place}"), &theirs, &answered)
            }
            None => Ok(()),
        }
    }

    /// Puts what was answered in the place of what was recorded.
    fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.names {
            text = text.replace(recorded, ours);
        }
        text
    }

    /// Takes down which id or revision stands for which; the first time counts.
    fn learn(&mut self, recorded: &Reply, ours: &Reply, difference: Option<Difference>) {
        let mut pairs = Vec::new();
        let pair = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).map(|(one, other)| (one.to_owned(), other.to_owned()))
        };
        let (theirs, answered) = (recorded.json(), ours.json());
        let id = |value: &Value| value["instanceId"].as_str().map(str::to_owned);
        pairs.extend(
            pair(id(&theirs).as_deref(), id(&answered).as_deref())
                .filter(|(one, other)| one.len() == 32 && other.len() == 32),
        );
        let revision = pair(recorded.header(REVISION), ours.header(REVISION));
        pairs.extend(revision.filter(|(one, other)| one != EMPTY && other != EMPTY));
        for group in ["services", "instances"] {
            let first =
                |value: &Value| value[group]["updated"][0]["rev"].as_str().map(str::to_owned);
            pairs.extend(pair(first(&theirs).as_deref(), first(&answered).as_deref()));
        }
        for (one, other) in pairs {
            if difference == Some(Difference::Sooner) {
                self.names.insert(one, other);
            } else {
                self.names.entry(one).or_insert(other);
            }
        }
    }
}

/// The methods in `Allow`. We answer HEAD as well.
fn methods(reply: &Reply) -> Option<Vec<&str>> {
    let all = reply.header("allow")?.split(',').map(str::trim);
    let mut methods: Vec<_> = all.filter(|method| *method != "HEAD").collect();
    methods.sort_unstable();
    Some(methods)
}

/// Takes out what may differ: the order of lists that have none, times, and what `difference` says.
fn normalise(value: &mut Value, harmed: bool, difference: Option<Difference>) {
    match value {
        Value::Object(fields) => {
            for time in ["timestamp", "modTimestamp"] {
                if let Some(Value::String(text)) = fields.get_mut(time)
                    && text.bytes().all(|byte| byte.is_ascii_digit())
                {
                    "a time".clone_into(text);
                }
            }
            if harmed && fields.contains_key("instanceId") {
                fields.remove("status");
                fields.remove("properties");
            }
            match difference {
                Some(Difference::Detail) => {
                    fields.remove("detail");
                }
                Some(Difference::ApiVersion) => fields.retain(|name, _| name == "apiVersion"),
                Some(Difference::Sooner) if fields.contains_key("instanceId") => {
                    fields.retain(|name, _| name == "instanceId");
                }
                Some(Difference::Shape) => {
                    for value in fields.values_mut().filter(|it| !it.is_array()) {
                        *value = Value::Null;
                    }
                }
                _ => {}
            }
            if let Some(Value::Array(apps)) = fields.get_mut("appIds") {
                apps.sort_by_cached_key(Value::to_string);
            }
            fields.values_mut().for_each(|value| normalise(value, harmed, difference));
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                normalise(item, harmed, difference);
            }
            if difference == Some(Difference::Shape) {
                items.retain(Value::is_object);
            }
            items.sort_by_cached_key(|item| {
                let key = |name: &str| item[name].as_str().map(str::to_owned);
                (key("serviceId"), key("instanceId"))
            });
        }
        _ => {}
    }
}

/// Where two values first differ, and what is there.
fn first_difference<'a>(
    place: &str,
    one: &'a Value,
    other: &'a Value,
) -> Option<(String, Option<&'a Value>, Option<&'a Value>)> {
    let (keys, is_list): (Vec<String>, bool) = match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            (one.keys().chain(other.keys()).cloned().collect(), false)
        }
        (Value::Array(one), Value::Array(other)) => {
            ((0..one.len().max(other.len())).map(|at| at.to_string()).collect(), true)
        }
        _ => return (one != other).then(|| (place.to_owned(), Some(one), Some(other))),
    };
    keys.iter().find_map(|key| {
        let place = format!("{place}/{key}");
        let get = |value: &'a Value| {
            if is_list { value.get(key.parse::<usize>().ok()?) } else { value.get(key) }
        };
        match (get(one), get(other)) {
            (Some(one), Some(other)) => first_difference(&place, one, other),
            (one, other) => Some((place, one, other)),
        }
    })
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, recorded: &T, ours: &T) -> Result<()> {
    if recorded != ours {
        bail!("{what}:\n  recorded {recorded:?}\n  answered {ours:?}");
    }
    Ok(())
}
