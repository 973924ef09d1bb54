//! Calls that are written in a URL, and the tree of answers that comes back.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::demo::screen::Screen;

/// A URL, what it is to show, and the calls that have to come of it.
#[derive(Debug)]
pub(super) struct Row {
    /// What front is asked for.
    pub(super) path: &'static str,
    /// What it says, in words.
    pub(super) about: &'static str,
    /// The calls: `,` one after the other, `|` side by side, what the callee called in parentheses.
    pub(super) calls: &'static str,
}

/// One of each form that the grammar has.
pub(super) const ROWS: [Row; 8] = [
    Row {
        path: "/service/calls/@service3/",
        about: "no call: the first segment has no @",
        calls: "",
    },
    Row { path: "/@service1/the-end", about: "one call", calls: "service1/the-end" },
    Row {
        path: "/@service1:8081/the-end",
        about: "at another port",
        calls: "service1:8081/the-end",
    },
    Row {
        path: "/@service1/@service2/@service3/",
        about: "each calls the next",
        calls: "service1/@service2/@service3/ (service2/@service3/ (service3/))",
    },
    Row {
        path: "/@service1/service2",
        about: "one call again: service2 has no @",
        calls: "service1/service2",
    },
    Row {
        path: "/@service1,service2/uri-reuse/",
        about: "one after the other",
        calls: "service1/uri-reuse/, service2/uri-reuse/",
    },
    Row {
        path: "/@service1|service2/uri-reuse/",
        about: "side by side",
        calls: "service1/uri-reuse/ | service2/uri-reuse/",
    },
    Row {
        path: "/@service1|service2/@service3|service4/uri/",
        about: "two side by side, and each of them calls two",
        calls: "service1/@service3|service4/uri/ (service3/uri/ | service4/uri/) \
                | service2/@service3|service4/uri/ (service3/uri/ | service4/uri/)",
    },
];

/// An answer of a `mockserver`, with the answers in it.
#[derive(Debug)]
pub(super) struct Answer(Value);

/// One call that a service made.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// `service1:8081`, without the port where that is 8080.
    pub(super) host: &'a str,
    path: &'a str,
    forward: &'a Value,
    /// Whether the call before it was made at the same time.
    beside: bool,
}

impl Answer {
    pub(super) fn read(text: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(text)?))
    }

    /// The calls as a [`Row`] writes them; a failed one is not what was asked for.
    pub(super) fn calls(&self) -> Result<String> {
        written(&self.0)
    }

    /// Every call of the whole tree, with its caller.
    pub(super) fn all(&self) -> Vec<(&str, Call<'_>)> {
        let mut all = Vec::new();
        let mut open = vec![&self.0];
        while let Some(answer) = open.pop() {
            let caller = answer["Service"].as_str().unwrap_or_default();
            for call in calls_of(answer) {
                open.push(&call.forward["Response"]);
                all.push((caller, call));
            }
        }
        all
    }

    /// Draws the tree.
    pub(super) fn draw(&self, screen: &Screen) {
        screen.drawn("", name(&self.0), "");
        draw(screen, &self.0, "");
    }
}

impl Call<'_> {
    /// Whether all went well.
    pub(super) fn is_answered(&self) -> bool {
        self.forward["Status"] == 200
    }

    /// The service's name.
    pub(super) fn service(&self) -> &str {
        self.host.split(':').next().unwrap_or_default()
    }
}

fn name(answer: &Value) -> &str {
    answer["Instance"].as_str().unwrap_or("?")
}

fn calls_of(answer: &Value) -> Vec<Call<'_>> {
    let list = |value: &'_ Value| value.as_array().map_or(0, Vec::len);
    let groups = &answer["ParallelForwards"];
    let mut calls = Vec::new();
    for group in 0..list(groups) {
        let forwards = &groups[group]["SequentialForwards"];
        for index in 0..list(forwards) {
            let forward = &forwards[index];
            let url = forward["Url"].as_str().unwrap_or_default();
            let url = url.strip_prefix("http://").unwrap_or(url);
            let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
            let host = host.strip_suffix(":8080").unwrap_or(host);
            calls.push(Call { host, path, forward, beside: index == 0 && group > 0 });
        }
    }
    calls
}

fn written(answer: &Value) -> Result<String> {
    let mut text = String::new();
    for call in calls_of(answer) {
        let Call { host, path, forward, beside } = &call;
        let response = &forward["Response"];
        ensure!(
            call.is_answered() && response["Service"] == call.service(),
            "the call of {host}{path} came to this: {forward}"
        );
        if !text.is_empty() {
            text.push_str(if *beside { " | " } else { ", " });
        }
        text.push_str(host);
        text.push_str(path);
        let further = written(response)?;
        if !further.is_empty() {
            text.extend([" (", &further, ")"]);
        }
    }
    Ok(text)
}

fn draw(screen: &Screen, answer: &Value, indent: &str) {
    let calls = calls_of(answer);
    for (index, call) in calls.iter().enumerate() {
        let last = index + 1 == calls.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let response = &call.forward["Response"];
        let took = call.forward["DurationMs"].as_f64().unwrap_or_default();
        let text = format!("{}{} answered in {took:.0} ms", call.host, call.path);
        let instance = name(response);
        screen.drawn(&format!("{indent}{branch}"), instance, &text);
        draw(screen, response, &format!("{indent}{below}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn forward(url: &str, response: &Value) -> Value {
        json!({"Url": url, "Status": 200, "DurationMs": 1.5, "Response": response})
    }

    fn answer(service: &str, groups: &[Vec<Value>]) -> Value {
        let groups: Vec<_> =
            groups.iter().map(|forwards| json!({"SequentialForwards": forwards})).collect();
        json!({"Service": service, "Instance": format!("{service}-0"), "ParallelForwards": groups})
    }

    #[test]
    fn an_answer_says_which_calls_were_made() {
        let leaf = |name| answer(name, &[]);
        let c = forward("http://c:8081/", &leaf("c"));
        let a = forward("http://a:8080/@c:8081/", &answer("a", &[vec![c]]));
        let b = forward("http://b:8080/", &leaf("b"));
        let tree = Answer(answer("front", &[vec![a, b.clone()], vec![b]]));
        assert_eq!(tree.calls().unwrap(), "a/@c:8081/ (c:8081/), b/ | b/");
        let mut all: Vec<_> = tree
            .all()
            .iter()
            .map(|(caller, call)| format!("{caller}>{}", call.service()))
            .collect();
        all.sort();
        assert_eq!(all, ["a>c", "front>a", "front>b", "front>b"]);
    }

    #[test]
    fn a_failed_call_is_not_what_was_asked_for() {
        let mut failed = forward("http://a:8080/", &json!({"Service": "a"}));
        failed["Status"] = json!(502);
        let error = Answer(answer("front", &[vec![failed]])).calls().unwrap_err().to_string();
        assert!(error.contains("a/") && error.contains("502"), "{error}");
        let other = forward("http://a:8080/", &json!({"Service": "b"}));
        assert!(Answer(answer("front", &[vec![other]])).calls().is_err(), "b answered for a");
    }
}
