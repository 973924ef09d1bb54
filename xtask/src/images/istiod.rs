//! istiod in an image, for tests and demonstrations on a node: the program is that of the pinned tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use testbed::tools;

use super::Image;

/// It is none of ours, and is not installed with them.
const ISTIOD: Image = Image {
    name: "istiod",
    version: "1.31",
    package: "istiod",
    about: "Pilot of Istio, for tests",
    in_the_mesh: false,
};
/// What the tool is called.
const PROGRAM: &str = "pilot-discovery";

/// Writes `istiod.tar` into `folder`, unless one of this program is there, and says where it is.
pub(crate) fn write_istiod(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let program = tools::program(PROGRAM)?;
    let path = folder.join(format!("{}.tar", ISTIOD.name));
    // More than a hundred megabytes: what made it is older then.
    let sources = [program.clone(), std::env::current_exe()?];
    let newest = sources.iter().map(|path| changed(path)).collect::<Result<Vec<_>>>()?;
    if !changed(&path).is_ok_and(|made| newest.iter().all(|source| *source < made)) {
        let archive = ISTIOD.archive(&fs::read(program)?)?;
        fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(path)
}

fn changed(path: &Path) -> Result<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_pod_of_the_node_names() {
        assert_eq!(ISTIOD.reference(), testbed::node::ISTIOD_IMAGE);
    }
}
