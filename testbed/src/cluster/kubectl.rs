//! What tests do with kubectl, in one call each.

use std::io::Write;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};

use super::Cluster;

impl Cluster {
    /// Runs kubectl and returns what it printed; an error holds what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.kubectl()?.args(arguments).output().context("cannot run kubectl")?;
        text_of(&output, arguments)
    }

    /// Runs kubectl with `input` on its standard input (`-f -`) and returns all of
    /// its result, for tests that look at warnings or refusals.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = self
            .kubectl()?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        let mut pipe = child.stdin.take().context("kubectl has no input")?;
        // kubectl reads all of its input before it prints. When it refuses its
        // arguments and reads none, its own message says more than a broken pipe.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        Ok(child.wait_with_output()?)
    }

    /// `kubectl apply` of YAML or JSON text; returns what it printed.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let arguments = ["apply", "--filename=-"];
        text_of(&self.run_with_input(&arguments, manifests)?, &arguments)
    }

    /// Whether kubectl ends well; what it prints is dropped.
    pub fn succeeds(&self, arguments: &[&str]) -> bool {
        self.kubectl().is_ok_and(|mut kubectl| {
            kubectl
                .args(["--request-timeout=5s"])
                .args(arguments)
                .output()
                .is_ok_and(|output| output.status.success())
        })
    }
}

fn text_of(output: &Output, arguments: &[&str]) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "kubectl {} failed ({}): {}{text}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(text)
}
