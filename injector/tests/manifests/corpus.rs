//! The manifests in this folder.

use std::path::{Path, PathBuf};

use injector::manifest::{self, ManifestError, Settings};

use crate::{kubectl, laws};

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

pub(crate) fn texts(folder: &str) -> impl Iterator<Item = (String, String)> {
    files(folder).into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap()))
}

#[test]
fn every_manifest_keeps_the_laws() {
    let mut broken = Vec::new();
    let mut sidecars = 0;
    for (name, text) in texts("edited") {
        match laws::keep(&text) {
            Ok(edited) => {
                sidecars += laws::injected(&edited);
                let bare = ["empty.yaml", "only-comments.yaml", "skipped.yaml"].contains(&&*name);
                assert_eq!(laws::injected(&edited) == 0, bare, "{name}: {:?}", edited.reports);
                assert_eq!(edited.text == text, bare, "{name}");
            }
            Err(law) => broken.push(format!("{name}: {law}")),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    assert!(sidecars > 90, "only {sidecars} sidecars in all of the manifests");
}

/// The first fifty of those that hold objects.
#[test]
fn kubectl_itself_reads_the_patched_objects() {
    let full = |(name, _): &(String, String)| {
        !["empty.yaml", "only-comments.yaml", "skipped.yaml"].contains(&&**name)
    };
    let mut objects = 0;
    for (name, text) in texts("edited").filter(full).take(50) {
        let edited = manifest::inject(&text, &laws::settings()).unwrap();
        match laws::keep_to_kubectl(&text, &edited) {
            Ok(read) => objects += read,
            Err(problem) => panic!("{name}: {problem}"),
        }
    }
    assert!(objects > 80, "kubectl read only {objects} objects");
}

/// `#` on the first line of each says what the error has to name.
#[test]
fn what_cannot_be_edited_in_place_is_named_with_its_line_and_reformatted_on_request() {
    for (name, text) in texts("refused") {
        let expected = text.lines().next().unwrap().trim_start_matches("# ");
        let (line, word) = expected.split_once(": ").unwrap();
        let line: usize = line.trim_start_matches("line ").parse().unwrap();
        let error = manifest::inject(&text, &laws::settings()).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("{line}:")), "{name}: {message}");
        assert!(message.contains(word) && message.contains("--reformat"), "{name}: {message}");

        let settings = Settings { reformat: true, ..laws::settings() };
        let edited = manifest::inject(&text, &settings).unwrap();
        let mut expected = kubectl::read(&text).unwrap();
        edited.patches[0].apply(&mut expected[0]).unwrap();
        assert_eq!(kubectl::read(&edited.text).unwrap(), expected, "{name}");
        assert_eq!(manifest::read(&edited.text).unwrap(), edited.documents, "{name}");
    }
}

#[test]
fn only_the_document_that_needs_it_is_reformatted() {
    let neighbour = "apiVersion: v1\nkind: Pod # kept\nmetadata:\n    name: n\nspec:\n    containers: [{name: a, image: a}]\n";
    for (name, text) in texts("refused") {
        let settings = Settings { reformat: true, ..laws::settings() };
        let both = format!("{neighbour}---\n{text}---\n{neighbour}");
        let edited = manifest::inject(&both, &settings).unwrap();
        assert_eq!(edited.text.matches("kind: Pod # kept").count(), 2, "{name}: {}", edited.text);
        assert_eq!(laws::injected(&edited), 3, "{name}");
    }
}

/// The first line of each, or for JSON its name, says where the error stands.
#[test]
fn what_cannot_be_read_is_named_with_its_line_and_column() {
    for (name, bytes) in files("malformed") {
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let expected = match &*name {
            "unfinished.json" => "3:1",
            "colon.json" => "2:9",
            _ => text.lines().next().unwrap().trim_start_matches("# "),
        };
        let error = manifest::inject(&text, &laws::settings()).unwrap_err();
        assert!(matches!(error, ManifestError::Syntax { .. }), "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("{expected}: ")), "{name}: {error}");
        assert_eq!(manifest::uninject(&text, &laws::settings()), Err(error), "{name}");
    }
}
