//! `sidecar-injector check`

use std::path::PathBuf;
use std::process::ExitCode;

use super::inputs::Inputs;
use super::policy::PolicyArgs;
use crate::check::cluster::{self, Given, INJECTOR_NAMESPACE, Options};
use crate::check::{Report, Source, check};
use crate::kubernetes::connect_as;

mod print;
mod progress;

/// The exit code of findings. 2 is taken: a wrong command line.
const FAULTY: u8 = 3;

/// Find what keeps pods from their sidecars, and say what helps
///
/// With files: reads manifests, or the objects of a cluster as kubectl prints them. Whether a
/// sidecar is stale depends on the policy: name the cluster's configuration with --config.
///
/// Without: looks at the cluster of the current kubeconfig, or at the one it runs in. First at the
/// installation: webhook configuration, certificates, replicas, rights, whether the API server gets
/// an answer (a pod created as a dry run), what it counted of its calls. Then at all namespaces,
/// workloads and pods, by the policy of the injector's ConfigMap.
///
/// Nothing is changed. Exits with 0 where nothing worse than a warning was found, with 1 where the
/// check could not run, or not all of it (see --partial), with 2 for a wrong command line, and with
/// 3 where an error was found: a pod lacks its sidecar or would, what gives it one is broken, or
/// the API server does not answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector check
  sidecar-injector check --context production --namespace shop --partial
  sidecar-injector check -o json | jq -r '.findings[].fix.command // empty'
  sidecar-injector check -f manifests/
  kubectl get namespaces,deployments,pods -A -o yaml | sidecar-injector check -f -")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    /// With files: the namespace of objects that name none [default: default]. Without: the only
    /// namespace whose workloads are looked at [default: all]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    live: LiveArgs,
}

/// Which cluster, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct LiveArgs {
    /// The kubeconfig [default: KUBECONFIG, ~/.kube/config, else the pod's own account]
    #[arg(long, value_name = "FILE", conflicts_with_all = FILES)]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME", conflicts_with_all = FILES)]
    context: Option<String>,
    /// Where the injector is installed
    #[arg(long, value_name = "NAME", default_value = INJECTOR_NAMESPACE, conflicts_with_all = FILES)]
    injector_namespace: String,
    /// Exit with 0 also where something could not be checked, for instance for lack of a right
    #[arg(long, conflicts_with_all = FILES)]
    partial: bool,
}

/// The arguments that make it a check of files.
const FILES: [&str; 2] = ["positional", "filename"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// An object of two lists. findings: code, severity, source, namespace, object, pods, problem,
    /// fix (command or advice). notChecked: what, reason, needs
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = if args.inputs.is_empty() { live(args)? } else { files(args)? };
    let mut text = Vec::new();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut text, &report)?;
            text.push(b'\n');
        }
        Output::Text => print::write(&mut text, &report)?,
    }
    let printed = super::print(&text)?;
    if report.is_faulty() {
        return Ok(ExitCode::from(FAULTY));
    }
    let incomplete = !report.not_checked.is_empty() && !args.live.partial;
    Ok(if incomplete { ExitCode::FAILURE } else { printed })
}

fn files(args: &Args) -> anyhow::Result<Report> {
    let settings = args.policy.settings(args.namespace.as_deref().unwrap_or("default"))?;
    let inputs = args.inputs.read()?;
    let sources: Vec<Source<'_>> =
        inputs.iter().map(|input| Source { name: &input.name, text: &input.text }).collect();
    Ok(check(&sources, &settings)?)
}

fn live(args: &Args) -> anyhow::Result<Report> {
    let given = if args.policy.is_given() {
        let config = args.policy.config()?;
        let settings = args.policy.settings_of(&config, "default")?;
        Some(Given { config, settings })
    } else {
        None
    };
    let options = Options {
        namespace: args.namespace.clone(),
        injector_namespace: args.live.injector_namespace.clone(),
        given,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let live = &args.live;
        let client = connect_as(live.kubeconfig.as_deref(), live.context.as_deref()).await?;
        let mut progress = progress::Progress::new();
        let mut tell = |what: &str, read| progress.tell(what, read);
        let report = cluster::check(&client, &options, &mut tell).await;
        progress.end();
        Ok(report?)
    })
}
