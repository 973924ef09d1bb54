//! Keys on the command line: `--a.b=c`.

use std::ffi::OsString;

use super::files::unknown;
use super::keys;
use super::problem::{Problems, Severity};
use super::spelling::canonical;
use super::values::{Entry, Origin, Rank, Values};
use super::yaml::Content;

/// A key on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFlag {
    /// The key.
    pub key: String,
    /// The flag as it was written, with its dashes and without its value.
    pub written: String,
    /// What stands behind `=`; `None`: there is none.
    pub value: Option<String>,
}

/// Takes the flags out that name a key (`--a.b=c`): the others are the program's own.
pub fn split(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<KeyFlag>) {
    let (mut own, mut keys) = (Vec::new(), Vec::new());
    for argument in arguments {
        let key = argument.to_str().and_then(|text| {
            let text = text.strip_prefix("--")?;
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            name.contains('.').then(|| KeyFlag {
                key: name.to_owned(),
                written: format!("--{name}"),
                value,
            })
        });
        match key {
            Some(key) => keys.push(key),
            None => own.push(argument),
        }
    }
    (own, keys)
}

pub(super) fn add(flags: &[KeyFlag], values: &mut Values, problems: &mut Problems) {
    // Of two that name one key the last wins, as with other flags.
    for KeyFlag { key: named, written, value } in flags.iter().rev() {
        let origin = Origin::Flag(written.clone());
        let key = canonical(named);
        let Some(value) = value else {
            let message = format!("has no value: write {written}=VALUE");
            problems.add(Severity::Error, Some(&origin), written, message);
            continue;
        };
        if keys::find(&key).is_none() {
            unknown(problems, &origin, written, &key);
            continue;
        }
        let content = Content::Scalar(value.clone());
        values.add(key, Entry { rank: Rank::Flag, origin, written: written.clone(), content });
    }
}
