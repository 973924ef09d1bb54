//! `sidecar-injector check`

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use super::inputs::Inputs;
use super::policy::PolicyArgs;
use crate::check::{Finding, Severity, Source, check};

/// The exit code of findings. 2 is taken: a wrong command line.
const FAULTY: u8 = 3;

/// Find what keeps pods from their sidecars, and say what helps
///
/// Reads manifests, or the objects of a cluster as kubectl prints them, and changes nothing.
/// Whether a sidecar is stale depends on the policy: name the cluster's configuration with
/// --config.
///
/// Exits with 0 where nothing worse than a warning was found, with 1 where the check could not
/// run, with 2 for a wrong command line, and with 3 where a pod lacks its sidecar or would.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector check -f manifests/
  kubectl get namespaces,deployments,statefulsets,daemonsets,pods -A -o yaml | sidecar-injector check -f -
  sidecar-injector check -f deploy.yaml -o json | jq -r '.[] | .fix'")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// A list of findings: code, severity, source, namespace, object, problem, fix
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.inputs.is_empty() {
        bail!("nothing to check: name a file or a folder, as in `-f deploy.yaml`, or `-f -`");
    }
    let settings = args.policy.settings()?;
    let inputs = args.inputs.read()?;
    let sources: Vec<Source<'_>> =
        inputs.iter().map(|input| Source { name: &input.name, text: &input.text }).collect();
    let findings = check(&sources, &settings)?;
    let mut text = Vec::new();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut text, &findings)?;
            text.push(b'\n');
        }
        Output::Text => write(&mut text, &findings)?,
    }
    let printed = super::print(&text)?;
    let faulty = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if faulty { ExitCode::from(FAULTY) } else { printed })
}

fn write(text: &mut Vec<u8>, findings: &[Finding]) -> std::io::Result<()> {
    if findings.is_empty() {
        return writeln!(text, "nothing found");
    }
    for Finding { code, severity, source, namespace, object, problem, fix } in findings {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(
            text,
            "{severity}  {}  {object} in namespace {namespace} ({source})",
            code.as_str()
        )?;
        writeln!(text, "  problem  {problem}")?;
        writeln!(text, "  fix      {fix}")?;
    }
    Ok(())
}
