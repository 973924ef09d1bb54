//! `sidecar-injector uninject`

use std::process::ExitCode;

use super::inputs::Inputs;
use super::outputs::{self, Outputs};
use crate::manifest::{self, Settings};
use crate::policy::Policy;

/// Take the sidecar out of manifests
///
/// Takes out what `inject` or the webhook put in, by the record in the annotation
/// `sidecar.mesher.io/injected`, and prints the manifests. What `inject` wrote and nobody changed
/// becomes what it was before, byte for byte. Objects without a sidecar of ours stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector uninject -f deploy.yaml | kubectl apply -f -
  sidecar-injector uninject -f manifests/ -R --in-place")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    outputs: Outputs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = Settings {
        policy: Policy::builtin(),
        namespace: "default".into(),
        reformat: args.outputs.reformat,
    };
    outputs::run(&args.inputs, &args.outputs, |text| manifest::uninject(text, &settings))
}
