//! `sidecar-injector inject`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::inputs::Inputs;
use super::outputs::{self, Outputs};
use crate::config::{Config, NativeSidecar, load_templates};
use crate::manifest::{self, Settings};
use crate::policy::{Discovery, Policy, Unannotated};

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
    /// Namespace of the objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Discovery of the pods that name none: sc (ServiceComb service-center) or pilot (Istio)
    /// [default: sc, or what the configuration says]
    #[arg(long, value_name = "TYPE", hide_possible_values = true, value_parser = discovery())]
    default_discovery: Option<Discovery>,
    /// The injector's configuration file, for the policy and the templates of a cluster
    #[arg(long, value_name = "FILE", env = "SIDECAR_INJECTOR_CONFIG")]
    config: Option<PathBuf>,
    /// Use this template for pods that name none
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Make the sidecar an init container that goes on running (Kubernetes 1.29 and newer)
    /// [default: auto, which is true without a cluster to ask]
    #[arg(long, value_name = "WHEN", value_enum)]
    native: Option<NativeSidecar>,
    /// Inject only pods whose annotation asks for it, as the webhook does
    #[arg(long)]
    only_annotated: bool,
}

fn discovery() -> impl TypedValueParser<Value = Discovery> {
    PossibleValuesParser::new(["sc", "pilot"]).map(|word| match word.as_str() {
        "pilot" => Discovery::Pilot,
        _ => Discovery::ServiceCenter,
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = Settings {
        policy: policy(args)?,
        namespace: args.namespace.clone(),
        reformat: args.outputs.reformat,
    };
    outputs::run(&args.inputs, &args.outputs, |text| {
        manifest::inject(text, &settings)
    })
}

/// The cluster's policy, or the built-in one, under the flags.
fn policy(args: &Args) -> anyhow::Result<Policy> {
    let mut config = args
        .config
        .as_deref()
        .map_or_else(|| Ok(Config::default()), Config::read)?;
    if let Some(native) = args.native {
        config.policy.native_sidecar = native;
    }
    let mut templates = load_templates(config.templates.as_deref())?;
    if let Some(file) = &args.template {
        let name = file.file_stem().context("--template has to name a file")?;
        config.policy.default_template = name.to_string_lossy().into_owned();
        templates.extend(load_templates(Some(file))?);
    }
    let mut policy = config.policy(templates, true, None)?;
    if let Some(discovery) = args.default_discovery {
        policy.sidecar.discovery_type = discovery;
    }
    if !args.only_annotated {
        policy.unannotated = Unannotated::Inject;
    }
    policy.renew = true;
    Ok(policy)
}
