//! Kustomizations made for one run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a kustomization to `folder` (made if need be) that is the one in `base` with `patches`,
/// the YAML or JSON of its `patches` list. Returns the folder's full path, for `kubectl apply -k`.
///
/// It names `base` by a relative path: kustomize refuses absolute ones.
pub fn write_kustomization(folder: &Path, base: &Path, patches: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let base = base.canonicalize().with_context(|| format!("no folder {}", base.display()))?;
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
         resources:\n- {}\npatches: {patches}\n",
        relative(&folder, &base).display()
    );
    fs::write(folder.join("kustomization.yaml"), text)?;
    Ok(folder)
}

/// The way from one folder to another; both start at the root.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Path::new(".."));
    up.chain(to.components().skip(shared).map(|step| Path::new(step.as_os_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_folders_is_relative() {
        for (from, to, way) in [
            ("/tmp/a", "/src/manifests", "../../src/manifests"),
            ("/src/target/a", "/src/manifests/local", "../../manifests/local"),
            ("/src", "/src/manifests", "manifests"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(way));
        }
    }
}
