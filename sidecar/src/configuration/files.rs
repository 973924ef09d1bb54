//! Reading the files of a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::center;
use super::keys::{self, File};
use super::placeholder;
use super::places::Places;
use super::problem::{Problems, Severity};
use super::spelling::canonical;
use super::values::{Entry, Origin, Rank, Values};
use super::yaml::{self, Content, Node};

/// The longest file that is read: a ConfigMap holds no more.
const LONGEST: u64 = 1 << 20;

/// Reads every file there is into `values`; tells which were read.
pub(super) fn read_all(
    places: &Places,
    environment: &BTreeMap<String, String>,
    values: &mut Values,
    problems: &mut Problems,
) -> Vec<PathBuf> {
    let folders = places.folders(environment);
    let mut found = Vec::new();
    for file in File::ALL {
        let asked = places.config.clone().filter(|_| file == File::Mesher);
        let must_exist = asked.is_some();
        let mut candidates =
            asked.into_iter().chain(folders.iter().map(|folder| folder.join(file.name())));
        let path = candidates.find(|path| must_exist || path.exists());
        let Some(path) = path else { continue };
        if let Some(text) = read(&path, problems) {
            add(&path, &text, environment, values, problems);
            found.push(path);
        }
    }
    if let Some(folder) = &places.only {
        if let Err(error) = std::fs::read_dir(folder) {
            let origin = Origin::File(folder.clone(), 0);
            let message = format!("{error}: name a folder with configuration files");
            problems.add(Severity::Error, Some(&origin), "", message);
        } else {
            strangers(folder, problems);
        }
    }
    found
}

fn read(path: &Path, problems: &mut Problems) -> Option<String> {
    let mut fail = |message: String| {
        let origin = Origin::File(path.to_owned(), 0);
        problems.add(Severity::Error, Some(&origin), "", message);
        None
    };
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return fail("is no file: name the file, not its folder".into());
        }
        Ok(metadata) if metadata.len() > LONGEST => {
            return fail(format!("is longer than {LONGEST} bytes: a configuration is shorter"));
        }
        _ => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            fail("is no UTF-8 text: save it as UTF-8".into())
        }
        Err(error) => fail(format!("{error}: check that it exists and may be read")),
    }
}

/// Adds what `text` says.
pub(super) fn add(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
    values: &mut Values,
    problems: &mut Problems,
) {
    let root = match yaml::read(text) {
        Ok(root) => root,
        Err(fault) => {
            let origin = Origin::File(path.to_owned(), fault.line);
            return problems.add(Severity::Error, Some(&origin), "", fault.problem);
        }
    };
    match root.content {
        Content::Null => {}
        Content::Map(entries) => {
            let origin = Origin::File(path.to_owned(), 0);
            let variables = Some(environment);
            let mut flat = Flattening { origin, rank: Rank::File, variables, values, problems };
            for (name, line, node) in entries {
                flat.add(name, line, node);
            }
        }
        Content::Scalar(_) | Content::List(_) => {
            let origin = Origin::File(path.to_owned(), root.line);
            let message = "holds no keys: write key: value";
            problems.add(Severity::Error, Some(&origin), "", message);
        }
    }
}

/// Makes keys with dots of what is nested.
pub(super) struct Flattening<'a> {
    /// Where it stands, without a line.
    pub(super) origin: Origin,
    pub(super) rank: Rank,
    /// What `${NAME}` is filled with, where that means something.
    pub(super) variables: Option<&'a BTreeMap<String, String>>,
    pub(super) values: &'a mut Values,
    pub(super) problems: &'a mut Problems,
}

impl Flattening<'_> {
    /// Adds a key, or those below it.
    pub(super) fn add(&mut self, written: String, line: usize, node: Node) {
        let origin = self.origin.at(line);
        let key = canonical(&written);
        match node.content {
            Content::Null => {}
            Content::Map(entries) => {
                // A word that leads nowhere is said once, not for each key below it.
                if !keys::leads_somewhere(&key) {
                    return self.unknown(&origin, &written, &key);
                }
                for (name, line, node) in entries {
                    self.add(format!("{written}.{name}"), line, node);
                }
            }
            content => {
                let Some(row) = keys::find(&key) else {
                    return self.unknown(&origin, &written, &key);
                };
                if self.rank == Rank::Center
                    && let Some(message) = center::refusal(row)
                {
                    let origin = Some(&self.origin);
                    return self.problems.add(Severity::Warning, origin, &written, message);
                }
                let content = match (content, self.variables) {
                    (Content::Scalar(text), Some(variables)) if text.contains("${") => {
                        let variable = |name: &str| variables.get(name).map(String::as_str);
                        Content::Scalar(placeholder::fill(&text, variable))
                    }
                    (content, _) => content,
                };
                // Before the value rather than the key: a message is about the value.
                let origin = self.origin.at(node.line);
                let entry = Entry { rank: self.rank, origin, written, content };
                self.values.add(key, entry);
            }
        }
    }

    fn unknown(&mut self, origin: &Origin, written: &str, key: &str) {
        unknown(self.problems, origin, written, key);
    }
}

/// Says that a key is unknown, and which was meant.
pub(super) fn unknown(problems: &mut Problems, origin: &Origin, written: &str, key: &str) {
    // A suggestion costs a search: a file full of strange keys gets the first few.
    let suggestion = (problems.0.len() < 50).then(|| keys::suggestion(key)).flatten();
    let message = match suggestion {
        Some((wrong, right)) if wrong == key => {
            format!("unknown key, it has no effect: did you mean \"{right}\"?")
        }
        Some((wrong, right)) => {
            format!("unknown key, it has no effect: did you mean \"{right}\" for \"{wrong}\"?")
        }
        None => "unknown key, it has no effect: see `mesher config schema`".to_owned(),
    };
    problems.add(Severity::Warning, Some(origin), written, message);
}

/// Names files that nobody reads, as their author may think otherwise.
fn strangers(folder: &Path, problems: &mut Problems) {
    let known: BTreeSet<&OsStr> = File::ALL.iter().map(|file| OsStr::new(file.name())).collect();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let name = path.file_name().unwrap_or_default();
        if !yaml || known.contains(name) {
            continue;
        }
        let name = name.to_string_lossy();
        let meant = File::ALL
            .iter()
            .map(|file| (keys::distance(&name, file.name()), file.name()))
            .filter(|(distance, _)| *distance <= 3)
            .min();
        let all = || File::ALL.map(File::name).join(", ");
        let hint = meant.map_or_else(
            || format!("mesher reads {}", all()),
            |(_, meant)| format!("did you mean {meant}?"),
        );
        let origin = Origin::File(path.clone(), 0);
        problems.add(Severity::Warning, Some(&origin), "", format!("is not read: {hint}"));
    }
}
