//! The laws that every edited manifest keeps.

use injector::manifest::{self, Edited, Finding, Settings};
use injector::policy::{Policy, Unannotated};

use serde_json::{Value, json};

use crate::kubectl;

/// What the command line takes without flags.
pub(crate) fn settings() -> Settings {
    Settings {
        policy: Policy { unannotated: Unannotated::Inject, renew: true, ..Policy::builtin() },
        namespace: "default".into(),
        reformat: false,
    }
}

/// Injects `text` and holds the result against all laws; the error says which one is broken.
pub(crate) fn keep(text: &str) -> Result<Edited, String> {
    let settings = settings();
    let once = manifest::inject(text, &settings).map_err(|e| format!("inject: {e}"))?;
    let twice =
        manifest::inject(&once.text, &settings).map_err(|e| format!("inject twice: {e}"))?;
    same("inject | inject", &once.text, &twice.text)?;
    let back = manifest::uninject(&once.text, &settings).map_err(|e| format!("uninject: {e}"))?;
    same("inject | uninject", text, &back.text)?;
    comments(text, &once.text)?;
    let lone = |text: &str| text.replace("\r\n", "").contains('\n');
    if text.contains("\r\n") && !lone(text) && lone(&once.text) {
        return Err(format!("lines end in other ways than before:\n{:?}", once.text));
    }

    let mut expected = kubectl::read(text).map_err(|e| format!("kubectl cannot read: {e}"))?;
    if expected.len() != once.patches.len() {
        return Err(format!(
            "kubectl reads {} documents, we {}",
            expected.len(),
            once.patches.len()
        ));
    }
    for (document, patch) in expected.iter_mut().zip(&once.patches) {
        patch.apply(document).map_err(|e| e.to_string())?;
    }
    let found =
        kubectl::read(&once.text).map_err(|e| format!("kubectl cannot read the result: {e}"))?;
    if found != expected {
        return Err(format!("kubectl reads something else in the result:\n{}", once.text));
    }
    Ok(once)
}

/// How many objects got a sidecar.
pub(crate) fn injected(edited: &Edited) -> usize {
    edited.reports.iter().filter(|r| matches!(r.finding, Finding::Injected(_))).count()
}

fn same(law: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
    let context = |text: &str| {
        let from = text.floor_char_boundary(at.saturating_sub(60));
        let to = text.floor_char_boundary((at + 60).min(text.len()));
        format!("{:?}", &text[from..to])
    };
    Err(format!("{law} differs at byte {at}:\n  {}\n  {}", context(expected), context(found)))
}

/// Every line that is a comment is still there, in order.
fn comments(before: &str, after: &str) -> Result<(), String> {
    let mut lines = after.lines();
    for comment in before.lines().filter(|line| line.trim_start().starts_with('#')) {
        if !lines.any(|line| line == comment) {
            return Err(format!("the comment {comment:?} is gone or has moved:\n{after}"));
        }
    }
    Ok(())
}

/// The third law with kubectl itself: how many objects it read.
pub(crate) fn keep_to_kubectl(text: &str, edited: &Edited) -> Result<usize, String> {
    let mut before = kubectl::objects(text)?.into_iter();
    let mut expected = Vec::new();
    for (document, patch) in edited.documents.iter().zip(&edited.patches) {
        // kubectl takes Lists apart.
        let Some(items) = document.get("items").and_then(Value::as_array) else {
            let mut object = before.next().ok_or("kubectl reads fewer documents")?;
            patch.apply(&mut object).map_err(|e| e.to_string())?;
            expected.push(object);
            continue;
        };
        let mut list = json!({"items": before.by_ref().take(items.len()).collect::<Vec<_>>()});
        patch.apply(&mut list).map_err(|e| e.to_string())?;
        expected.extend(list["items"].as_array().into_iter().flatten().cloned());
    }
    if before.next().is_some() {
        return Err("kubectl reads more documents".into());
    }
    let after = kubectl::objects(&edited.text)?;
    if after != expected {
        return Err(format!("kubectl reads something else in the result:\n{}", edited.text));
    }
    Ok(after.len())
}
