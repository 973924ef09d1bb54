//! A live cluster: first the installation, from what it is configured with to whether the API
//! server gets an answer, then everything that should have a sidecar, page by page.
//!
//! Nothing is written: the only pod that is created is created as a dry run. What may not be read
//! becomes a line of [`Report::not_checked`](super::Report), with the right that is missing.

mod api;
mod certificates;
mod dry_run;
mod injector;
mod listing;
mod policy;
mod rights;
mod served;
mod webhook;
mod webhook_metrics;

use kube::Client;

pub use self::api::Error;
pub use self::policy::{Given, native_by_default};

use self::api::Inspection;
use super::findings::{Draft, Remedy};
use super::workloads::Sieve;
use super::{Code, Report};

/// The namespace of the manifests.
pub const INJECTOR_NAMESPACE: &str = "sidecar-injector";

/// What to look at.
#[derive(Debug)]
pub struct Options {
    /// The only namespace whose workloads are looked at; `None`: all.
    pub namespace: Option<String>,
    /// Where the injector is installed.
    pub injector_namespace: String,
    /// The policy to judge by; `None`: the cluster's.
    pub given: Option<Given>,
}

/// Checks the cluster behind `client`. `progress` hears how many objects of a kind have been read
/// so far, after each page but the last.
///
/// An API server that stops answering is a finding; what was found before stays.
pub async fn check(
    client: &Client,
    options: &Options,
    progress: &mut (dyn FnMut(&str, usize) + Send),
) -> Result<Report, Error> {
    let mut inspection = Inspection::new(client.clone(), progress);
    match look(&mut inspection, options).await {
        Err(Error::Unreachable(problem)) => inspection.findings.push(Draft {
            code: Code::ClusterUnreachable,
            source: SOURCE.to_owned(),
            namespace: String::new(),
            object: "cluster".to_owned(),
            aspect: String::new(),
            pods: 0,
            problem: format!("the API server does not answer: {problem}"),
            remedy: Remedy::advice(
                "check the server's address in the kubeconfig (--kubeconfig, --context) and that \
                 it can be reached from here",
            ),
        }),
        other => other?,
    }
    Ok(inspection.report())
}

/// What findings of a cluster name as their source.
const SOURCE: &str = "cluster";

async fn look(on: &mut Inspection<'_>, options: &Options) -> Result<(), Error> {
    let version = on.version().await?;
    let written = policy::read(on, options).await?;
    let webhook = webhook::read(on, &written.config).await?;
    let injector = injector::check(on, webhook.as_ref(), options).await?;
    let policy = policy::make(on, written, &injector, options, version);
    if let Some(webhook) = &webhook {
        webhook::check(on, webhook, options);
        certificates::check(on, webhook, &injector, &policy.config, options).await?;
    }
    rights::check(on, &injector, &policy.config, options).await?;
    let sieve = webhook.as_ref().and_then(webhook::Webhook::sieve).unwrap_or_else(Sieve::shipped);
    let since = webhook.as_ref().map(|webhook| webhook.since.clone());
    let enabled = listing::check(on, options, &policy, sieve.clone(), since).await?;
    if let Some(webhook) = &webhook {
        if let Some(enabled) = enabled {
            dry_run::check(on, webhook, &injector, &sieve, enabled, options).await?;
        }
        webhook_metrics::check(on, webhook).await?;
    }
    Ok(())
}
