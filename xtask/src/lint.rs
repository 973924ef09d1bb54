//! `cargo xtask lint`: everything that is checked without running the code.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use testbed::tools::{self as pinned, Purpose};

use crate::{cargo, tools};

/// Options of `cargo xtask lint`.
#[derive(Debug, Args)]
pub(crate) struct Lint {}

/// A check by the name that the summary gives it.
type Stage = (&'static str, fn() -> Result<()>);

const STAGES: &[Stage] = &[
    ("format", || cargo::run(cargo::command().args(["fmt", "--all", "--check"]))),
    ("tools", || tools::ensure_for(Purpose::Lint)),
    ("scripts", scripts),
    ("dependencies", dependencies),
    ("the proxy's dependencies", proxy_dependencies),
    ("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
        cargo::run(cargo::command().args(arguments).args(["--", "-D", "warnings"]))
    }),
    ("documentation", || {
        let mut doc = cargo::command();
        doc.args(["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings");
        cargo::run(&mut doc)
    }),
];

impl Lint {
    /// Runs every check, so that one run shows all that is to be mended.
    #[expect(clippy::unused_self, reason = "called like the other commands")]
    pub(crate) fn run(&self) -> Result<()> {
        let mut failed = Vec::new();
        for (name, check) in STAGES {
            eprintln!("== {name}");
            let started = Instant::now();
            let result = check();
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            println!("{name}: {word} in {:.1} s", started.elapsed().as_secs_f64());
            if let Err(error) = result {
                eprintln!("{error:#}");
                failed.push(*name);
            }
        }
        if failed.is_empty() { Ok(()) } else { bail!("lint failed: {}", failed.join(", ")) }
    }
}

/// Banned crates, licences and sources, by the rules of deny.toml. Advisories are
/// not checked: their database is on the network and changes from day to day.
fn dependencies() -> Result<()> {
    let mut deny = Command::new(pinned::program("cargo-deny")?);
    deny.current_dir(cargo::root()).args(["check", "--hide-inclusion-graph"]);
    cargo::run(deny.args(["bans", "licenses", "sources"]))
}

/// The proxy runs once beside each application: what only an operator needs stays out of it.
fn proxy_dependencies() -> Result<()> {
    let mut tree = cargo::command();
    tree.args(["tree", "--package", "sidecar", "--edges", "normal", "--prefix", "none"]);
    let output = tree.args(["--format", "{p}", "--locked"]).output()?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    let mut names = tree.lines().filter_map(|line| line.split(' ').next());
    match names.find(|name| ["k8s-openapi", "kube"].contains(name)) {
        Some(name) => bail!("mesher depends on {name}: `cargo tree -p sidecar -i {name}` says why"),
        None => Ok(()),
    }
}

/// Every shell script of the repository.
fn scripts() -> Result<()> {
    let mut scripts = Vec::new();
    find_scripts(cargo::root(), &mut scripts)?;
    scripts.sort();
    for script in &scripts {
        eprintln!("{}", script.strip_prefix(cargo::root()).unwrap_or(script).display());
    }
    if scripts.is_empty() {
        bail!("found no script below {}", cargo::root().display());
    }
    cargo::run(Command::new(pinned::program("shellcheck")?).args(scripts))
}

/// Files called `*.sh` and those whose first line names a shell.
fn find_scripts(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if entry.file_name() != "target" && entry.file_name() != ".git" {
                find_scripts(&path, found)?;
            }
        } else if kind.is_file()
            && (path.extension() == Some(OsStr::new("sh")) || starts_as_script(&path)?)
        {
            found.push(path);
        }
    }
    Ok(())
}

fn starts_as_script(path: &Path) -> Result<bool> {
    if path.extension().is_some() {
        return Ok(false);
    }
    let bytes = fs::read(path)?;
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(first.starts_with(b"#!") && first.ends_with(b"sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_name_and_by_first_line() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        for sub in [".ci", "target", "docs"] {
            fs::create_dir(root.join(sub))?;
        }
        fs::write(root.join(".ci/run"), "#!/usr/bin/env bash\ntrue\n")?;
        fs::write(root.join("docs/guard.sh"), "true\n")?;
        fs::write(root.join("docs/notes.md"), "#!/bin/sh is how a script starts\n")?;
        fs::write(root.join("tool"), "#!/usr/bin/env python3\n")?;
        fs::write(root.join("target/generated.sh"), "true\n")?;
        let mut found = Vec::new();
        find_scripts(root, &mut found)?;
        found.sort();
        assert_eq!(found, [root.join(".ci/run"), root.join("docs/guard.sh")]);
        Ok(())
    }
}
