//! Every value that was said anywhere, and which one counts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::kind;
use super::yaml::{Content, Node};

/// Who wins: the later in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What the pod's labels say.
    Label,
    /// `MESHER_DEFAULT_*`.
    Default,
    /// The configuration files.
    File,
    /// Environment variables.
    Environment,
    /// The command line.
    Flag,
    /// A configuration center.
    Center,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file and a line in it; line 0 is the whole file.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag, with its dashes.
    Flag(String),
    /// A label of the pod.
    Label(String),
    /// A configuration center, and what of it: which labels, or which dimension.
    Center(Arc<str>, Arc<str>),
    /// Nobody said anything.
    BuiltIn,
}

impl Origin {
    /// The same, at `line` where it is a file.
    pub(super) fn at(&self, line: usize) -> Self {
        match self {
            Self::File(path, _) => Self::File(path.clone(), line),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Label(name) => write!(f, "label {name} of the pod"),
            Self::Center(center, layer) => write!(f, "{center} ({layer})"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A value as somebody said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) origin: Origin,
    /// The key as it was written.
    pub(super) written: String,
    /// A scalar or a list; never null or a mapping.
    pub(super) content: Content,
}

impl Entry {
    /// The text of a scalar, trimmed.
    pub(super) fn text(&self) -> Option<&str> {
        self.content.text()
    }

    /// Its words: of a list, or with commas between them.
    pub(super) fn words(&self) -> Vec<&str> {
        match &self.content {
            Content::Scalar(text) => kind::words(text).collect(),
            Content::List(items) => {
                items.iter().filter_map(|Node { content, .. }| content.text()).collect()
            }
            Content::Null | Content::Map(_) => Vec::new(),
        }
    }

    /// An empty value is as good as none.
    pub(super) fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }
}

/// All values by their canonical keys.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<String, Vec<Entry>>);

impl Values {
    /// Adds what was said. Of two with one rank the earlier wins.
    pub(super) fn add(&mut self, key: String, entry: Entry) {
        let entries = self.0.entry(key).or_default();
        let at = entries.partition_point(|known| known.rank >= entry.rank);
        entries.insert(at, entry);
    }

    /// The value that counts.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)?.iter().find(|entry| !entry.is_empty())
    }

    /// The value that counts among keys that mean the same; of two with one rank, that of the
    /// earlier key.
    pub(super) fn first(&self, keys: &[&str]) -> Option<&Entry> {
        let mut best: Option<&Entry> = None;
        for entry in keys.iter().filter_map(|key| self.get(key)) {
            if best.is_none_or(|best| entry.rank > best.rank) {
                best = Some(entry);
            }
        }
        best
    }

    /// Every key and all that was said for it, the winner first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[Entry])> {
        self.0.iter().map(|(key, entries)| (key.as_str(), entries.as_slice()))
    }

    /// Keys below `prefix` (without the dot) and their values that count.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let prefix = format!("{prefix}.");
        self.0.iter().filter_map(move |(key, entries)| {
            let rest = key.strip_prefix(&prefix)?;
            Some((rest, entries.iter().find(|entry| !entry.is_empty())?))
        })
    }
}
