//! `sidecar-injector explain`

use std::io::Write;
use std::process::ExitCode;

use super::inputs::Inputs;
use super::policy::{NamespaceArg, PolicyArgs};
use crate::manifest::{self, Explanation};

/// Say why pods get a sidecar or none
///
/// Asks the questions that the webhook asks of every pod, in its order, and shows which one
/// decided. Nothing is changed. Exits with 1 where a pod would be refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector explain -f deploy.yaml
  kubectl get pod web-0 -o yaml | sidecar-injector explain
  kubectl get pods -A -o yaml | sidecar-injector explain -o json | jq '.[] | select(.decision != \"injected\")'")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    namespace: NamespaceArg,
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
    /// A list of objects: object, namespace, passed, decision, detail, warnings
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.policy.settings(&args.namespace.namespace)?;
    let mut all = Vec::new();
    for input in args.inputs.read()? {
        let explained = manifest::explain(&input.text, &settings);
        all.extend(explained.map_err(|e| anyhow::anyhow!("{}:{e}", input.name))?);
    }
    let mut text = Vec::new();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut text, &all)?;
            text.push(b'\n');
        }
        Output::Text => {
            for explanation in &all {
                write(&mut text, explanation)?;
            }
        }
    }
    let printed = super::print(&text)?;
    let refused = all.iter().any(|e| e.decision.starts_with("invalid_"));
    Ok(if refused { ExitCode::FAILURE } else { printed })
}

fn write(text: &mut Vec<u8>, explanation: &Explanation) -> std::io::Result<()> {
    let Explanation { object, namespace, passed, decision, detail, warnings } = explanation;
    writeln!(text, "{object} in namespace {namespace}")?;
    for answer in passed {
        writeln!(text, "  passed   {:<19} {}", answer.reason, answer.found)?;
    }
    writeln!(text, "  decided  {decision:<19} {detail}")?;
    for warning in warnings {
        writeln!(text, "  warning  {warning}")?;
    }
    Ok(())
}
