//! The pod's labels, as the downward API writes them: `name="value"`, one a line.

use std::collections::BTreeMap;
use std::path::Path;

use super::values::{Entry, Origin, Rank, Values};
use super::yaml::Content;

/// Labels that say who a service is, where nobody else does; the first wins.
const IDENTITY: [(&str, &str); 4] = [
    ("app", "servicecomb.service.name"),
    ("app.kubernetes.io/name", "servicecomb.service.name"),
    ("version", "servicecomb.service.version"),
    ("app.kubernetes.io/version", "servicecomb.service.version"),
];

/// The labels; none where there is no such file.
pub(super) fn read(path: &Path) -> BTreeMap<String, String> {
    parse(&std::fs::read_to_string(path).unwrap_or_default())
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let label = |line: &str| {
        let (name, value) = line.split_once('=')?;
        // Go's quoting; a label's value has nothing in it that would be escaped.
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some((name.trim().to_owned(), value.to_owned()))
    };
    text.lines().filter_map(label).collect()
}

pub(super) fn add(labels: &BTreeMap<String, String>, values: &mut Values) {
    for (label, key) in IDENTITY {
        if let Some(value) = labels.get(label) {
            let entry = Entry {
                rank: Rank::Label,
                origin: Origin::Label(label.into()),
                written: label.into(),
                content: Content::Scalar(value.clone()),
            };
            values.add(key.into(), entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn labels_of_the_downward_api() {
        let labels = parse("app=\"web\"\napp.kubernetes.io/name=\"w\"\nempty=\"\"\nbroken\n\n");
        assert_eq!(labels.len(), 3);
        assert_eq!(labels["app"], "web");
        assert_eq!(labels["empty"], "");
    }
}
