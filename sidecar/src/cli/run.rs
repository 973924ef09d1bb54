//! `mesher run`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use discovery::center::{Following, Held};
use tokio::time::timeout;

use super::logging;
use crate::backend::Backend;
use crate::center;
use crate::configuration::{Inputs, Reload, follow};
use crate::metrics;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::tls::Tls;

/// How long the first answer of a configuration center is waited for.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// How long the instance's leaving may take once the proxy has ended.
const LEAVING: Duration = Duration::from_secs(5);

pub(super) fn run(inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let configuration = inputs.read();
    if configuration.is_faulty() {
        super::report(&configuration.problems);
        bail!("the configuration has errors: `mesher config dump` shows what is in force");
    }
    let warnings: Vec<String> = configuration.warnings().map(ToString::to_string).collect();
    let started = Reload::starting(&configuration);
    let settings = configuration.settings()?;
    logging::start(settings.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // Traffic has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(inputs.clone(), settings, started))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(inputs: Inputs, settings: Settings, started: Reload) -> anyhow::Result<()> {
    let tls = Arc::new(Tls::load(&settings)?);
    let questions = discovery::center::Metrics::default();
    let center = center::start(&settings, &tls, &questions)?;
    // Requests are not to be served without the rules of a center that is there.
    let (settings, started) = match &center {
        Some(center) => with_center(&inputs, settings, started, &center.first(FIRST_WORD).await),
        None => (settings, started),
    };
    let backend = Backend::start(&settings, &tls)?;
    let mut proxy = Proxy::start_with(settings.clone(), backend.source(), tls)?;
    let (changed, reloads) =
        follow(inputs, settings.clone(), started, center.as_ref().map(Following::held));
    proxy.follow_settings(changed);
    backend.show(&mut proxy);
    proxy.show_configuration(reloads.clone());
    if let Some(center) = &center {
        proxy.show_center(center.held());
    }
    proxy.measure(|registry| {
        metrics::of_reloads(registry, reloads);
        if let Some(center) = &center {
            questions.register(registry);
            metrics::of_center(registry, center.held());
        }
    });
    let addresses = proxy.addresses();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        service = settings.identity.service,
        app = settings.identity.app,
        consumer = ?addresses.consumer,
        provider = ?addresses.provider,
        consumer_grpc = ?addresses.consumer_grpc,
        provider_grpc = ?addresses.provider_grpc,
        admin = ?addresses.admin,
        profiles = ?addresses.profiles,
        "serving"
    );
    let attending = backend.attend(proxy.lifecycle().clone(), &settings);
    proxy.until_signalled().await.context("cannot listen for signals")?;
    if timeout(LEAVING, attending).await.is_err() {
        tracing::warn!("service-center was not told that the instance leaves: its lease will end");
    }
    tracing::info!("ended");
    Ok(())
}

/// What there is to start with, where a center says `held`: without it, if that has errors. These
/// are said by whoever follows it.
fn with_center(
    inputs: &Inputs,
    settings: Settings,
    started: Reload,
    held: &Held,
) -> (Settings, Reload) {
    let configuration = inputs.read_with(held);
    let told = Reload::starting(&configuration);
    match configuration.settings() {
        Ok(new) => (new.taken_over(&settings).0, told),
        Err(_) => (settings, started),
    }
}
