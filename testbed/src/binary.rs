//! The project's own programs, and the images that hold them, as `cargo xtask` built them.

use std::env;
use std::path::PathBuf;

/// The environment variable that names the folder with the archives of our images.
pub const IMAGES: &str = "MESHER_IMAGES";

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

/// The archive of one of our images, `mesher` for instance, as `ctr images import` reads it.
///
/// `cargo xtask test` makes them for the suites that run pods on a node, and says by
/// `MESHER_IMAGES` where they are. As with [`binary()`], a missing one is an error.
pub fn image(name: &str) -> Result<PathBuf> {
    let folder: PathBuf = env::var_os(IMAGES)
        .with_context(|| {
            format!(
                "{IMAGES} is not set: run these tests with `cargo xtask test`, which makes the \
                 image {name} and says where it is"
            )
        })?
        .into();
    let path = folder.join(format!("{name}.tar"));
    ensure!(
        path.is_file(),
        "{IMAGES} names {}, where there is no {name}.tar: run `cargo xtask test`",
        folder.display()
    );
    Ok(path)
}

/// The environment variable that says where the program `name` is.
pub fn binary_variable(name: &str) -> String {
    format!("MESHER_BIN_{}", name.replace('-', "_").to_uppercase())
}
