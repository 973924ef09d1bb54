//! `sidecar-injector serve`

use std::process::ExitCode;

use crate::config::Overrides;
use crate::server;

const EXAMPLES: &str = "\
Examples:
  A trial on this machine, without a cluster:
    sidecar-injector serve --no-kubernetes --tls-folder ./tls --listen 127.0.0.1:9443
  In a pod, with the configuration from a ConfigMap and its own certificates:
    sidecar-injector serve --config /etc/sidecar-injector/config.yaml
  With certificates of cert-manager, mounted from its Secret:
    sidecar-injector serve --tls-mode files --tls-folder /etc/sidecar-injector/tls

Templates and the section `policy` of the configuration file are taken over while it runs.
Ports: POST /mutate on --listen (HTTPS); /healthz /readyz /status /metrics on --operations-listen.
Stop it with SIGTERM: it fails /readyz, serves on for --drain-delay, finishes, and exits with 0.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = args.overrides.resolve()?;
    let _log = server::start_logging(&config.log)?;
    // For all but the reviews themselves, which have threads of their own.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(server::run(config, args.overrides.clone()))?;
    Ok(ExitCode::SUCCESS)
}
