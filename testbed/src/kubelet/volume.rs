//! The files that a pod's volumes show in `/etc`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::container::list;
use super::pod::{Pod, text};

impl Pod {
    /// Writes them into `etc`, which is to be the pod's `/etc`.
    ///
    /// The downward API gives a file, an optional ConfigMap that nobody made an empty folder.
    pub fn write_volumes(&self, etc: &Path) -> Result<()> {
        for (volume, path) in self.mounts() {
            let inside = path.strip_prefix("/etc/").with_context(|| {
                format!("{}: nothing can be mounted at {path}, outside of /etc", self.name)
            })?;
            let folder: PathBuf = etc.join(inside);
            fs::create_dir_all(&folder)?;
            if volume["configMap"]["optional"] == true {
                continue;
            }
            let files = volume["downwardAPI"]["items"].as_array();
            let Some(files) = files else { bail!("{}: this is not imitated: {volume}", self.name) };
            for file in files {
                let field = text(&file["fieldRef"]["fieldPath"]);
                if field != "metadata.labels" {
                    bail!("{}: the file of {field} is not imitated", self.name);
                }
                let lines = self.labels.iter().map(|(name, value)| format!("{name}={value:?}\n"));
                fs::write(folder.join(text(&file["path"])), lines.collect::<String>())?;
            }
        }
        Ok(())
    }

    /// Every volume that is mounted, and where.
    fn mounts(&self) -> impl Iterator<Item = (&serde_json::Value, &str)> {
        let containers = ["initContainers", "containers"];
        let containers = containers.into_iter().flat_map(|kind| list(&self.spec[kind]));
        let mounts = containers.flat_map(|container| list(&container["volumeMounts"]));
        mounts.filter_map(|mount| {
            let volumes = list(&self.spec["volumes"]);
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"])?;
            Some((volume, text(&mount["mountPath"])))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_a_file() -> Result<()> {
        let pods = Pod::read(
            "kind: Pod\nmetadata: {name: web, labels: {app: web, version: 0.1.0}}\nspec:\n  \
             containers: [{name: a, image: a, volumeMounts: [\
             {name: info, mountPath: /etc/a/info}, {name: conf, mountPath: /etc/a/conf}]}]\n  \
             volumes: [{name: info, downwardAPI: {items: [\
             {path: labels, fieldRef: {fieldPath: metadata.labels}}]}},\n    \
             {name: conf, configMap: {name: c, optional: true}}]\n",
        )?;
        let etc = tempfile::tempdir()?;
        pods[0].write_volumes(etc.path())?;
        let labels = fs::read_to_string(etc.path().join("a/info/labels"))?;
        assert_eq!(labels, "app=\"web\"\nversion=\"0.1.0\"\n");
        assert_eq!(fs::read_dir(etc.path().join("a/conf"))?.count(), 0);
        Ok(())
    }
}
