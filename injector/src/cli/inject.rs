//! `sidecar-injector inject`

use std::process::ExitCode;

use super::inputs::Inputs;
use super::outputs::{self, Outputs};
use super::policy::{NamespaceArg, PolicyArgs};
use crate::manifest;
use crate::policy::Unannotated;

/// Put the sidecar into manifests
///
/// Adds the sidecar to every pod and pod template of the given manifests (Pod, Deployment,
/// StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob, DeploymentConfig, and
/// Lists of them) and prints them. Everything else stays as it is, byte for byte: comments, order,
/// quotes, indentation. `uninject` takes the sidecar out again and gives back the very same bytes.
///
/// A pod whose annotation `sidecar.mesher.io/inject` says no is left alone. What happened to each
/// object is said on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector inject -f deploy.yaml | kubectl apply -f -
  sidecar-injector inject -f manifests/ -R --in-place
  kubectl get deployment web -o yaml | sidecar-injector inject --default-discovery pilot | kubectl apply -f -")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    namespace: NamespaceArg,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Inject only pods whose annotation asks for it, as the webhook does
    #[arg(long)]
    only_annotated: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut settings = args.policy.settings(&args.namespace.namespace)?;
    settings.reformat = args.outputs.reformat;
    settings.policy.renew = true;
    if !args.only_annotated {
        settings.policy.unannotated = Unannotated::Inject;
    }
    outputs::run(&args.inputs, &args.outputs, |text| manifest::inject(text, &settings))
}
