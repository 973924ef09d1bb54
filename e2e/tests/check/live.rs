//! The program against a live cluster, as a user runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::installation::{NAME, PATIENCE};
use e2e::kubectl::eventually;
use injector::check::{Code, Severity};
use serde_json::Value;
use testbed::Cluster;

use crate::workload::run;

/// What a check said.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) code: Option<i32>,
    pub(crate) findings: Vec<Value>,
    pub(crate) not_checked: Vec<Value>,
}

impl Verdict {
    /// The findings of a kind.
    pub(crate) fn of(&self, code: Code) -> Vec<&Value> {
        self.findings.iter().filter(|finding| finding["code"] == code.as_str()).collect()
    }
}

/// Runs the program with a kubeconfig and nothing else of this process's environment.
pub(crate) fn program(kubeconfig: &Path, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(testbed::binary(NAME)?);
    command.env_clear().env("KUBECONFIG", kubeconfig).arg("check").args(arguments);
    Ok(command.output()?)
}

/// A check as a user of `kubeconfig`.
pub(crate) fn check_as(kubeconfig: &Path, arguments: &[&str]) -> Result<Verdict> {
    let output = program(kubeconfig, &[&["-o", "json"], arguments].concat())?;
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {told}"))?;
    let list = |key: &str| report[key].as_array().cloned().context("no list");
    let (findings, not_checked) = (list("findings")?, list("notChecked")?);
    Ok(Verdict { code: output.status.code(), findings, not_checked })
}

/// A cluster, and the arguments that confine a check to what a test is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) arguments: &'a [&'a str],
}

impl Live<'_> {
    pub(crate) fn check(self) -> Result<Verdict> {
        check_as(self.cluster.kubeconfig(), self.arguments)
    }

    /// The fault stands in the report: the only finding of its kind.
    pub(crate) fn planted(self, code: Code) -> Result<Value> {
        let found = eventually(&format!("{} is found", code.as_str()), PATIENCE, || {
            let checked = self.check()?;
            let found = checked.of(code);
            ensure!(found.len() == 1, "{checked:#?}");
            let finding = found[0].clone();
            if code.severity() == Severity::Error {
                ensure!(checked.code == Some(3), "an error ends with {:?}", checked.code);
            }
            Ok(Some(finding))
        })?;
        for key in ["problem", "object", "source", "severity"] {
            ensure!(found[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {found:#}");
        }
        Ok(found)
    }

    /// The fault is gone.
    pub(crate) fn gone(self, code: Code) -> Result<()> {
        eventually(&format!("{} is gone", code.as_str()), PATIENCE, || {
            let checked = self.check()?;
            Ok(checked.of(code).is_empty().then_some(()))
        })
    }

    /// The fault is found, and gone when its command was run.
    pub(crate) fn mended(self, code: Code) -> Result<Value> {
        let finding = self.planted(code)?;
        let command = finding["fix"]["command"].as_str();
        run(self.cluster, command.with_context(|| format!("no command: {finding:#}"))?)?;
        self.gone(code)?;
        Ok(finding)
    }
}
