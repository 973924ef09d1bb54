//! The project's own programs, as `cargo xtask` built them.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The path of one of our programs, from the environment variable that
/// `cargo xtask test` sets for it: `MESHER_BIN_SIDECAR_INJECTOR` for
/// `sidecar-injector`.
///
/// It fails when that is not set: a test that skips because nothing was built
/// looks like one that passed.
pub fn binary(name: &str) -> Result<PathBuf> {
    let variable = binary_variable(name);
    let path: PathBuf = env::var_os(&variable)
        .with_context(|| {
            format!(
                "{variable} is not set: run these tests with `cargo xtask test`, which builds \
                 {name} and says where it is"
            )
        })?
        .into();
    ensure!(
        path.is_file(),
        "{variable} names {}, which is no file: run `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// The environment variable that says where the program `name` is.
pub fn binary_variable(name: &str) -> String {
    format!("MESHER_BIN_{}", name.replace('-', "_").to_uppercase())
}
