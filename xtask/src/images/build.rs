//! Programs that need nothing of the system they run on.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo::{self, Built};

/// How much the compiler is asked for: a profile of the workspace's `Cargo.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What is installed: all of the program optimised as one.
    Release,
    /// What tests run: the same code, built in a fraction of the time.
    Quick,
}

impl Effort {
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Quick => "quick",
        }
    }
}

/// Builds these programs (package and name) of the checkout at `root` by one call of cargo, linked
/// statically against glibc.
///
/// Folders of this machine, which panics and `assert` would name, are mapped away: the bytes are
/// the same wherever the repository and cargo's home are. They do depend on which programs are
/// built together, as these share their crates with the features that any of them wants.
pub(super) fn programs(
    root: &Path,
    programs: &[(&'static str, &'static str)],
    effort: Effort,
) -> Result<Built> {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let home = cargo_home()?;
    let places = [(home.as_path(), "/cargo"), (root, "/mesher")];
    // Each flag is one word between separators: a path may have spaces.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let mut compiler = Vec::new();
    for (from, to) in places {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        compiler.push(quoted(&format!("-ffile-prefix-map={}={to}", from.display())));
    }
    let environment = [
        ("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")),
        ("CFLAGS", compiler.join(" ")),
        ("CXXFLAGS", compiler.join(" ")),
        // How cc-rs is told that these are words as a shell's.
        ("CC_SHELL_ESCAPED_FLAGS", "1".to_owned()),
    ];
    let folder = root.join("target/static").display().to_string();
    let mut selection = vec!["--locked", "--profile", effort.profile()];
    selection.extend(["--target", &target, "--target-dir", &folder]);
    for (package, name) in programs {
        selection.extend(["--package", package, "--bin", name]);
    }
    cargo::build_at(root, &selection, &environment)
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    home.or_else(default).context("neither CARGO_HOME nor HOME says where cargo keeps its crates")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_quoted_path_is_one_word() -> Result<()> {
        for word in ["/home/me", "/home/me and you/it's $HOME", "a\"b\\c"] {
            let line = format!("printf '%s,' {}", quoted(word));
            let output = Command::new("sh").arg("-c").arg(line).output()?;
            assert_eq!(String::from_utf8(output.stdout)?, format!("{word},"));
        }
        Ok(())
    }
}
