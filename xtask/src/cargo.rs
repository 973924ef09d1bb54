//! Calls of cargo, and what it says it built.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that runs us, in the root of the repository.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command that tells the user itself what is wrong.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let program = Path::new(command.get_program());
        let program = program.file_name().unwrap_or_default().to_string_lossy();
        bail!("`{program} {}` failed", arguments.join(" "));
    }
    Ok(())
}

/// What one build made.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Our programs, by name.
    pub(crate) programs: Vec<(String, PathBuf)>,
    /// The executables that hold tests.
    pub(crate) suites: Vec<TestExecutable>,
}

impl Built {
    /// Where the program `name` is.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let found = self.programs.iter().find(|(program, _)| program == name);
        let (_, path) = found.with_context(|| format!("cargo built no {name}"))?;
        Ok(path)
    }
}

/// An executable that holds tests.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TestExecutable {
    /// `certs` for the tests inside a library, `certs::rotation` for those of
    /// `certs/tests/rotation.rs`.
    pub(crate) name: String,
    /// The package's folder, in which cargo runs its tests.
    pub(crate) folder: PathBuf,
    /// The file to run.
    pub(crate) path: PathBuf,
}

/// Builds all programs and tests of the workspace in one go, so that both use
/// the same build of every dependency. cargo shows its progress itself.
pub(crate) fn build() -> Result<Built> {
    build_only(&["--workspace", "--bins", "--tests"])
}

/// Our programs, by their names.
pub(crate) type Programs = HashMap<&'static str, PathBuf>;

/// The programs of these packages: those that the environment names, as it does for a test
/// of ours, else what cargo builds.
pub(crate) fn programs(packages: &[(&str, &'static str)]) -> Result<Programs> {
    let named = packages.iter().map(|(_, name)| Some((*name, testbed::binary(name).ok()?)));
    if let Some(named) = named.collect() {
        return Ok(named);
    }
    let selection =
        packages.iter().flat_map(|(package, name)| ["--package", package, "--bin", name]);
    let built = build_only(&selection.collect::<Vec<_>>())?;
    packages.iter().map(|(_, name)| Ok((*name, built.program(name)?.to_owned()))).collect()
}

/// Builds what these arguments of `cargo build` select.
pub(crate) fn build_only(selection: &[&str]) -> Result<Built> {
    build_at(root(), selection, &[])
}

/// The same in another checkout, and with more in its environment.
pub(crate) fn build_at(
    root: &Path,
    selection: &[&str],
    environment: &[(&str, String)],
) -> Result<Built> {
    let mut cargo = command();
    cargo
        .current_dir(root)
        .arg("build")
        .args(selection)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the workspace does not build");
    }
    let mut built = Built::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("cargo's message is not JSON")?;
        note(&message, &mut built);
    }
    built.suites.sort();
    Ok(built)
}

/// Notes one of cargo's messages, if it is about an executable.
fn note(message: &Value, built: &mut Built) {
    let (Some(path), Some(name), Some(kind), Some(manifest)) = (
        message["executable"].as_str(),
        message["target"]["name"].as_str(),
        message["target"]["kind"][0].as_str(),
        message["manifest_path"].as_str(),
    ) else {
        return;
    };
    let folder = Path::new(manifest).parent().unwrap_or(root());
    let package = folder.file_name().unwrap_or_default().to_string_lossy();
    if message["profile"]["test"] == true {
        let name = match kind {
            "lib" => package.into_owned(),
            _ => format!("{package}::{name}"),
        };
        built.suites.push(TestExecutable { name, folder: folder.to_owned(), path: path.into() });
    } else if kind == "bin" {
        built.programs.push((name.to_owned(), path.into()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact(kind: &str, name: &str, test: bool) -> Value {
        json!({
            "reason": "compiler-artifact",
            "manifest_path": "/src/certs/Cargo.toml",
            "target": {"kind": [kind], "name": name},
            "profile": {"test": test},
            "executable": format!("/target/{name}"),
        })
    }

    #[test]
    fn artifacts_become_programs_and_suites() {
        let mut built = Built::default();
        note(&artifact("bin", "sidecar-injector", false), &mut built);
        note(&artifact("lib", "certs", true), &mut built);
        note(&artifact("test", "rotation", true), &mut built);
        note(&json!({"reason": "compiler-artifact", "executable": null}), &mut built);
        note(&json!({"reason": "build-finished", "success": true}), &mut built);
        assert_eq!(
            built.programs,
            [("sidecar-injector".to_owned(), PathBuf::from("/target/sidecar-injector"))]
        );
        let names: Vec<&str> = built.suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["certs", "certs::rotation"]);
        assert_eq!(built.suites[0].folder, Path::new("/src/certs"));
    }
}
