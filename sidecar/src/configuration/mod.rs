//! What files, environment and flags say, and how it becomes [`Settings`].
//!
//! Every value is a key with dots, in one spelling for both generations of go-chassis
//! ([`spelling`]); one table ([`keys`]) says what each may hold and what comes of it. Who wins:
//! a configuration center, flags, environment, files, `MESHER_DEFAULT_*`, the pod's labels, what is
//! built in. Nothing is refused by halves: all problems are found at once, and a configuration with
//! an error is none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use discovery::center::Held;

mod center;
mod check;
mod disk;
mod dump;
mod environment;
mod files;
mod flags;
mod keys;
mod kind;
mod labels;
mod placeholder;
mod places;
mod problem;
mod reload;
mod resolve;
mod schema;
mod spelling;
mod values;
mod yaml;

pub use dump::Dump;
pub use flags::{KeyFlag, split};
pub use places::Places;
pub use problem::{Faulty, Problem, Severity};
pub use reload::{Refused, Reload, follow};
pub use resolve::NamedFiles;
pub use schema::{files as schema_files, schema};
pub use values::Origin;

use crate::settings::Settings;
use problem::Problems;
use values::Values;

/// What a configuration is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// Keys on the command line.
    pub flags: Vec<KeyFlag>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Where files are looked for.
    pub places: Places,
    /// Whether files that the configuration names have to be there.
    pub named_files: NamedFiles,
}

/// A configuration, with all that is wrong with it.
#[derive(Debug)]
pub struct Configuration {
    settings: Settings,
    values: Values,
    /// What is wrong with it, the worst first.
    pub problems: Vec<Problem>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Inputs {
    /// Reads files, environment and flags anew.
    pub fn read(&self) -> Configuration {
        self.read_with(&Held::default())
    }

    /// Reads everything anew, where a configuration center says `held`.
    pub fn read_with(&self, held: &Held) -> Configuration {
        let (mut values, mut problems) = (Values::default(), Problems::default());
        let labels = labels::read(&self.places.labels);
        center::add(held, &mut values, &mut problems);
        flags::add(&self.flags, &mut values, &mut problems);
        environment::add(&self.environment, &mut values, &mut problems);
        let files = files::read_all(&self.places, &self.environment, &mut values, &mut problems);
        labels::add(&labels, &mut values);
        check::each(&values, &mut problems);
        let mut reader = resolve::Reader {
            values: &values,
            environment: &self.environment,
            labels: &labels,
            problems: &mut problems,
            named_files: self.named_files,
        };
        let settings = resolve::settings(&mut reader);
        let mut problems = problems.0;
        problems.sort_by_key(|problem| problem.severity);
        Configuration { settings, values, problems, files }
    }
}

impl Configuration {
    /// The settings, unless there is an error.
    pub fn settings(self) -> Result<Settings, Faulty> {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let errors: Vec<Problem> = self.problems.into_iter().filter(is_error).collect();
        if errors.is_empty() { Ok(self.settings) } else { Err(Faulty(errors)) }
    }

    /// Where the admin port of this configuration is, whatever else is wrong.
    pub fn admin_port(&self) -> u16 {
        self.settings.listeners.admin_port
    }

    /// Whether there is an error.
    pub fn is_faulty(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}
