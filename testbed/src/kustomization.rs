//! Kustomizations made for one run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a kustomization to `folder` (made if need be) that is the one in `base` with `patches`,
/// the YAML or JSON of its `patches` list. Returns the folder's full path, for `kubectl apply -k`.
pub fn write_kustomization(folder: &Path, base: &Path, patches: &str) -> Result<PathBuf> {
    write(folder, base, &[], patches)
}

/// Writes a kustomization to `folder` that is the one in `base` with these components, in their
/// order.
pub fn combine_components(folder: &Path, base: &Path, components: &[PathBuf]) -> Result<PathBuf> {
    write(folder, base, components, "[]")
}

/// It names the others by relative paths: kustomize refuses absolute ones.
fn write(folder: &Path, base: &Path, components: &[PathBuf], patches: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let way = |to: &Path| -> Result<String> {
        let to = to.canonicalize().with_context(|| format!("no folder {}", to.display()))?;
        Ok(format!("- {}\n", relative(&folder, &to).display()))
    };
    let mut text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
         patches: {patches}\nresources:\n{}",
        way(base)?
    );
    if !components.is_empty() {
        text.push_str("components:\n");
    }
    for component in components {
        text.push_str(&way(component)?);
    }
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
