//! Loading templates from where the configuration says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ConfigError;
use crate::injection::load_template;
use crate::template::{Template, Templates};

/// The built-in template and those at `path`: a folder of `NAME.yaml`, or one such file. A file
/// named as the built-in template replaces it. Every template is validated here.
pub fn load_templates(path: Option<&Path>) -> Result<Templates, ConfigError> {
    let builtin = Arc::new(Template::builtin());
    let mut templates = BTreeMap::from([(builtin.name().to_owned(), builtin)]);
    let mut from = BTreeMap::<String, PathBuf>::new();
    for file in path.map_or_else(|| Ok(Vec::new()), files)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file)
            .map_err(|source| ConfigError::Read { path: file.clone(), source })?;
        let template = load_template(&name, &text)
            .map_err(|source| ConfigError::Template { path: file.clone(), source })?;
        if let Some(other) = from.insert(name.clone(), file.clone()) {
            return Err(ConfigError::Templates(format!(
                "{} and {} are both named {name}: rename one",
                other.display(),
                file.display(),
            )));
        }
        templates.insert(name, Arc::new(template));
    }
    Ok(templates)
}

/// The built-in template and those of a ConfigMap's data, as its mounted folder would give them.
pub(crate) fn templates_of(data: &BTreeMap<String, String>) -> Result<Templates, ConfigError> {
    let builtin = Arc::new(Template::builtin());
    let mut templates = BTreeMap::from([(builtin.name().to_owned(), builtin)]);
    for (key, text) in data {
        let Some(name) = key.strip_suffix(".yaml").or_else(|| key.strip_suffix(".yml")) else {
            continue;
        };
        let template = load_template(name, text)
            .map_err(|source| ConfigError::Template { path: key.into(), source })?;
        templates.insert(name.to_owned(), Arc::new(template));
    }
    Ok(templates)
}

/// The template files at `path`, sorted. Names with a leading dot are Kubernetes' own (`..data`)
/// or an editor's.
fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.into(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if yaml && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_there_is_the_built_in_template() {
        let templates = load_templates(None).unwrap();
        assert_eq!(templates.keys().collect::<Vec<_>>(), ["mesher"]);
    }

    #[test]
    fn only_visible_yaml_files_are_templates() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".hidden.yaml", "README.md", "notes"] {
            std::fs::write(folder.path().join(name), "no template").unwrap();
        }
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        assert_eq!(files(folder.path()).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(folder.path().join("b.yml"), "").unwrap();
        std::fs::write(folder.path().join("a.yaml"), "").unwrap();
        let names: Vec<_> = files(folder.path()).unwrap();
        assert_eq!(names, [folder.path().join("a.yaml"), folder.path().join("b.yml")]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = load_templates(Some(Path::new("no/such/folder"))).unwrap_err();
        assert!(error.to_string().starts_with("no/such/folder: "), "{error}");
    }
}
