//! A report for people.

use std::io::{Result, Write};

use crate::check::{Finding, Fix, NotChecked, Report, Severity};

/// Errors, warnings, what was not checked, and a line that counts them.
pub(super) fn write(text: &mut Vec<u8>, report: &Report) -> Result<()> {
    let Report { findings, not_checked } = report;
    for finding in findings {
        write_finding(text, finding)?;
    }
    for NotChecked { what, reason, needs } in not_checked {
        writeln!(text, "not checked: {what}")?;
        writeln!(text, "  reason   {reason}")?;
        if let Some(needs) = needs {
            writeln!(text, "  needs    {needs}")?;
        }
    }
    if findings.is_empty() && not_checked.is_empty() {
        return writeln!(text, "nothing found");
    }
    let count = |severity, word| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    };
    let (errors, warnings) = (count(Severity::Error, "error"), count(Severity::Warning, "warning"));
    writeln!(text, "{errors}, {warnings}, {} not checked", not_checked.len())
}

fn write_finding(text: &mut Vec<u8>, finding: &Finding) -> Result<()> {
    let Finding { code, severity, source, namespace, object, pods, problem, fix } = finding;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(text, "{severity}  {}  {object}", code.as_str())?;
    if !namespace.is_empty() {
        write!(text, " in namespace {namespace}")?;
    }
    match pods {
        0 => {}
        1 => write!(text, ", 1 pod")?,
        pods => write!(text, ", {pods} pods")?,
    }
    if source != "cluster" {
        write!(text, " ({source})")?;
    }
    writeln!(text)?;
    writeln!(text, "  problem  {problem}")?;
    let (Fix::Command(fix) | Fix::Advice(fix)) = fix;
    writeln!(text, "  fix      {fix}")
}
