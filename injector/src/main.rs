//! `sidecar-injector`

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    injector::cli::run(injector::cli::Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {}", in_one_line(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes. Most errors quote their cause in a sentence of their own; such a cause
/// is not said again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::in_one_line;
    use anyhow::anyhow;

    #[test]
    fn each_cause_is_said_once() {
        let quoting = anyhow!("no such file").context("a.yaml: no such file: check the name");
        assert_eq!(in_one_line(&quoting), "a.yaml: no such file: check the name");
        let adding = anyhow!("no such file").context("reading a.yaml");
        assert_eq!(in_one_line(&adding), "reading a.yaml: no such file");
    }
}
