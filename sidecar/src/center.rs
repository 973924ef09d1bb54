//! The configuration center that the settings name: from them to its client.

use discovery::center::{ConfigCenter, Error, Following, Identity, Kie, Metrics, SignIn, follow};
use discovery::{Tls as Secured, servicecenter};

use crate::settings::{Center, CenterKind, Discovery, Settings};
use crate::tls::Tls;
use crate::tls::tags::Use;

/// Starts to follow the center, if there is one. Nothing is waited for: one that does not answer is
/// asked again for ever.
pub(crate) fn start(
    settings: &Settings,
    tls: &Tls,
    metrics: &Metrics,
) -> Result<Option<Following>, Error> {
    let Some(center) = &settings.center else { return Ok(None) };
    let Center { kind, addresses, waits, interval, project } = center;
    let identity = identity(settings);
    let secured = secured(settings, Use::ConfigurationCenter, tls.center());
    let sign_in = sign_in(settings, tls)?;
    let following = match kind {
        CenterKind::Kie => {
            let client = Kie::new(addresses, secured, project, &identity, sign_in)?;
            follow(client, *waits, *interval, metrics)
        }
        CenterKind::ConfigCenter { api, tenant, dimension } => {
            let (api, dimension) = ((*api, project.as_str()), dimension.as_deref());
            let client =
                ConfigCenter::new(addresses, secured, api, tenant, &identity, dimension, sign_in)?;
            follow(client, *waits, *interval, metrics)
        }
    };
    Ok(Some(following))
}

/// As service-center knows us: whoever writes keys for a service finds its name there.
fn identity(settings: &Settings) -> Identity {
    let ours = &settings.identity;
    let accepted = servicecenter::acceptable(servicecenter::Given {
        app: &ours.app,
        service: &ours.service,
        version: &ours.version,
        environment: &ours.environment,
        host: &ours.host,
    });
    Identity {
        app: accepted.app,
        service: accepted.service,
        version: accepted.version,
        environment: accepted.environment.to_owned(),
    }
}

/// Accounts are those of service-center.
fn sign_in(settings: &Settings, tls: &Tls) -> Result<Option<SignIn>, Error> {
    let Discovery::ServiceCenter(registry) = &settings.discovery else { return Ok(None) };
    let Some(account) = &registry.account else { return Ok(None) };
    let secured = secured(settings, Use::ServiceCenter, tls.registry());
    let account = (account.name.clone(), account.password.clone());
    SignIn::new(&registry.addresses, secured, account).map(Some)
}

fn secured(
    settings: &Settings,
    what: Use<'_>,
    config: Option<tokio::sync::watch::Receiver<std::sync::Arc<rustls::ClientConfig>>>,
) -> Option<Secured> {
    let server_name = settings.tls_for(what).and_then(|tls| tls.server_name.clone());
    config.map(|config| Secured { config, server_name })
}
