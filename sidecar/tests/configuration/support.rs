//! Configurations made of text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sidecar::configuration::{Configuration, Inputs, KeyFlag, NamedFiles, Places};
use sidecar::settings::{Discovery, ServiceCenter, Settings};
use tempfile::TempDir;

/// A machine of its own: nothing outside of the folder is read.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) inputs: Inputs,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["conf", "tmp", "home/conf", "other"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let places = Places {
            conf: folder.path().join("conf"),
            tmp: folder.path().join("tmp"),
            labels: folder.path().join("labels"),
            ..Places::default()
        };
        let inputs = Inputs {
            flags: Vec::new(),
            environment: BTreeMap::new(),
            places,
            named_files: NamedFiles::MayBeElsewhere,
        };
        Self { folder, inputs }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.insert(name.into(), value.into());
        self
    }

    pub(crate) fn flag(mut self, key: &str, value: &str) -> Self {
        self.inputs.flags.push(KeyFlag {
            key: key.into(),
            written: format!("--{key}"),
            value: Some(value.into()),
        });
        self
    }

    pub(crate) fn read(&self) -> Configuration {
        self.inputs.read()
    }

    /// The settings; there must be no error.
    pub(crate) fn settings(&self) -> Settings {
        self.read().settings().unwrap()
    }

    /// Every problem in words, with the folder's path taken out.
    pub(crate) fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let shown = |problem: &sidecar::configuration::Problem| {
            format!("{}: {problem}", problem.severity).replace(&folder, "")
        };
        self.read().problems.iter().map(shown).collect()
    }
}

/// Each of those `wanted` is how one of the problems begins.
pub(crate) fn assert_among(problems: &[String], wanted: &[&str]) {
    for wanted in wanted {
        let begins = problems.iter().any(|problem| problem.starts_with(wanted));
        assert!(begins, "{wanted}\nis not among\n{}", problems.join("\n"));
    }
}

/// One folder and nothing else, as `config check` reads it.
pub(crate) fn only(folder: &Path) -> Inputs {
    let mut world = World::new().inputs;
    world.places.only = Some(folder.to_owned());
    world
}

pub(crate) fn service_center(settings: &Settings) -> &ServiceCenter {
    match &settings.discovery {
        Discovery::ServiceCenter(settings) => settings,
        Discovery::Pilot(_) => panic!("pilot"),
    }
}
