//! `sidecar-injector check`: every kind of fault is planted in a real cluster, found under its code,
//! and gone after its fix. `every_code_is_planted` holds the list complete.

mod deployment;
mod documented;
mod installation;
mod kubectl;
mod live;
mod reader;
mod workload;
mod workloads;

use std::path::Path;

use injector::check::Code;

/// A test that plants a fault names its code in a call of `planted` or `mended`.
#[test]
fn every_code_is_planted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let mut tests = String::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        tests.extend(text.chars().filter(|c| !c.is_whitespace()));
    }
    for code in Code::ALL {
        let planted =
            ["planted", "mended"].map(|how| tests.contains(&format!("{how}(Code::{code:?}")));
        assert!(planted.contains(&true), "no test plants {}", code.as_str());
    }
}
