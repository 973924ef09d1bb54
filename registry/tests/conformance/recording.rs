//! Reading recorded exchanges.

use anyhow::{Context, Result};

use super::http::Reply;

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) reply: Reply,
}

/// All exchanges of a recording.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>> {
    let steps = text.split("\n### ").filter(|step| !step.trim().is_empty());
    steps.map(|step| parse_step(step).with_context(|| format!("in {step:?}"))).collect()
}

fn parse_step(text: &str) -> Result<Step> {
    let mut lines = text.trim_start_matches("### ").lines().peekable();
    let name = lines.next().context("no name")?.to_owned();
    let mut sent = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with('>')) {
        sent.push(line.trim_start_matches("> "));
    }
    let (first, rest) = sent.split_first().context("no request")?;
    let (method, target) = first.split_once(' ').context("no target")?;
    let (bodies, headers): (Vec<&str>, _) =
        rest.iter().partition(|line| line.starts_with(['{', '[']));
    let headers = headers.into_iter().filter_map(|line: &str| line.split_once(": "));
    let answer: Vec<&str> = lines.collect();
    let head = answer.iter().position(|line| line.is_empty()).unwrap_or(answer.len());
    Ok(Step {
        name,
        method: method.into(),
        target: target.into(),
        headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
        body: bodies.first().map(|body| (*body).to_owned()),
        reply: Reply::parse(&answer[..head].join("\n"), answer[head..].join("\n").trim().into())?,
    })
}
