//! The table of faults in the documentation is the one of the code.

use e2e::installation::checkout;
use injector::check::{Code, Severity};

#[test]
fn the_documentation_lists_every_code_as_the_program_knows_it() {
    let text = std::fs::read_to_string(checkout("docs/check.md")).unwrap();
    let rows = Code::ALL.iter().map(|code| {
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("| `{}` | {severity} | {} | {} |\n", code.as_str(), code.meaning(), code.remedy())
    });
    let table = rows.collect::<String>();
    assert!(text.contains(&table), "docs/check.md should hold this table:\n{table}");
}
