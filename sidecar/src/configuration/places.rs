//! Where files are looked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where files are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `--config`: mesher.yaml itself. The others stand beside it.
    pub config: Option<PathBuf>,
    /// Only this folder: what `config check` looks at.
    pub only: Option<PathBuf>,
    /// Where the injector mounts the pod's ConfigMap.
    pub conf: PathBuf,
    /// Where the original's injector mounted it. It counts only where `..data` shows that it is a
    /// mounted ConfigMap: anybody may write to a `/tmp` that is none.
    pub tmp: PathBuf,
    /// Labels of the pod, as the downward API writes them.
    pub labels: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            config: None,
            only: None,
            conf: "/etc/mesher/conf".into(),
            tmp: "/tmp".into(),
            labels: "/etc/mesher/podinfo/labels".into(),
        }
    }
}

impl Places {
    /// The folders, the first wins: each file is taken from the first that has it.
    pub(super) fn folders(&self, environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
        if let Some(only) = &self.only {
            return vec![only.clone()];
        }
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let mut folders = Vec::new();
        folders.extend(self.config.as_deref().map(parent));
        folders.extend(variable("CHASSIS_CONF_DIR").map(PathBuf::from));
        folders.extend(variable("CHASSIS_HOME").map(|home| Path::new(home).join("conf")));
        folders.push(self.conf.clone());
        if self.tmp.join("..data").exists() {
            folders.push(self.tmp.clone());
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }
}

pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
