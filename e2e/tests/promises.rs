//! What CONTRIBUTING.md promises about tests: each admission rule R1–R37 has a test that carries
//! its number, and each bug of the original injector, B1–B48, is cited where it stays fixed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every Rust file of the workspace but this one.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && name != "promises.rs" {
            found.push(path);
        }
    }
}

/// The test code of the workspace: files of a `tests` folder, and what follows `#[cfg(test)]`.
fn tests() -> String {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut files);
    let mut code = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if file.components().any(|c| c.as_os_str() == "tests") {
            code.push_str(&text);
        } else if let Some((_, after)) = text.split_once("#[cfg(test)]") {
            code.push_str(after);
        }
    }
    code
}

/// The numbers behind `letter` where a word begins so: `B12`, `b3_b4_`, `r07_`.
fn cited(code: &str, letter: char) -> BTreeSet<u32> {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter_map(|w| {
        let digits = w.strip_prefix([letter.to_ascii_lowercase(), letter.to_ascii_uppercase()])?;
        digits.parse().ok()
    });
    words.collect()
}

#[test]
fn every_admission_rule_has_a_test_of_its_number() {
    let code = tests();
    let names = code.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
    let names = names.collect::<Vec<_>>().join(" ");
    let missing: Vec<u32> = (1..=37).filter(|n| !cited(&names, 'r').contains(n)).collect();
    assert!(missing.is_empty(), "no test is named for R{missing:?}");
}

#[test]
fn every_bug_of_the_original_is_cited() {
    let cited = cited(&tests(), 'b');
    let missing: Vec<u32> = (1..=48).filter(|n| !cited.contains(n)).collect();
    assert!(missing.is_empty(), "no test cites B{missing:?}");
}
