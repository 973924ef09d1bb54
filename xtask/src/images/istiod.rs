//! istiod in an image, for tests and demonstrations on a node: the program is that of the pinned tool.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

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
    if !is_later(&path, &[&program, &env::current_exe()?]) {
        let archive = ISTIOD.archive(&fs::read(program)?)?;
        fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(path)
}

/// Whether `made` is there and younger than all it was made from: more than a hundred megabytes are not
/// written for nothing. A source that is gone was replaced: we are, where cargo builds us anew.
fn is_later(made: &Path, sources: &[&Path]) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let Ok(time) = changed(made) else { return false };
    sources.iter().all(|source| changed(source).is_ok_and(|changed| changed < time))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn it_is_what_the_pod_of_the_node_names() {
        assert_eq!(ISTIOD.reference(), testbed::node::ISTIOD_IMAGE);
    }

    #[test]
    fn what_is_older_than_a_source_or_lacks_one_is_made_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let paths = ["made", "older", "younger", "gone"].map(|name| folder.path().join(name));
        let [made, older, younger, gone] = paths.each_ref().map(PathBuf::as_path);
        assert!(!is_later(made, &[]), "it is not there");
        let now = SystemTime::now();
        for (path, age) in [(older, 20), (made, 10), (younger, 0)] {
            fs::File::create(path)?.set_modified(now - Duration::from_secs(age))?;
        }
        assert!(is_later(made, &[older]));
        assert!(!is_later(made, &[older, younger]));
        assert!(!is_later(made, &[older, gone]), "this was an error once");
        Ok(())
    }
}
