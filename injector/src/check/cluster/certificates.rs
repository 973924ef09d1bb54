//! CA and certificate: do they fit together, and until when?

use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::{Bundle, Certificate, Names, Term};
use serde_json::{Value, json};

use super::api::{About, Error, Inspection, Reply};
use super::injector::Injector;
use super::webhook::{Called, Entry, Webhook};
use super::{Options, served};
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::config::{Config, TlsMode};
use crate::pod::text;

pub(super) async fn check(
    on: &mut Inspection<'_>,
    webhook: &Webhook,
    injector: &Injector,
    config: &Config,
    options: &Options,
) -> Result<(), Error> {
    let now = SystemTime::now();
    let mut bundles = Vec::new();
    for entry in &webhook.entries {
        if let Some(bundle) = bundle(on, webhook, entry, injector, config) {
            bundles.push((entry, bundle));
        }
    }
    let Some(shown) = shown(on, webhook, injector, config, options).await? else {
        return Ok(());
    };
    if expiry(on, &shown, injector, config, options, now) {
        return Ok(());
    }
    for (entry, bundle) in &bundles {
        let names = match entry.called() {
            Some(Called::Service { name, namespace }) => {
                Names::default().with(&format!("{name}.{namespace}.svc"))
            }
            Some(Called::Url(url)) => Names::default().with_url(&url),
            None => continue,
        };
        let verified = names.and_then(|names| bundle.verify_chain(&shown.chain, names.iter(), now));
        if let Err(error) = verified {
            let problem =
                format!("{}: caBundle does not verify {}: {error}", entry.name(), shown.place);
            on.found(Code::CaBundleMismatch, "", webhook.label(), problem, injector.restart());
        }
    }
    Ok(())
}

/// What an entry trusts.
fn bundle(
    on: &mut Inspection<'_>,
    webhook: &Webhook,
    entry: &Entry,
    injector: &Injector,
    config: &Config,
) -> Option<Bundle> {
    let client = entry.value.get("clientConfig").unwrap_or(&Value::Null);
    let encoded = text(client, "caBundle");
    if encoded.is_empty() {
        let problem = format!("{}: caBundle is empty", entry.name());
        let somebody_else = config.tls.mode == TlsMode::Files && config.tls.ca.is_none();
        let remedy = if somebody_else {
            Remedy::advice("see that what fills it runs: with cert-manager, its cainjector")
        } else {
            injector.restart()
        };
        on.found(Code::CaBundleMissing, "", webhook.label(), problem, remedy);
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded).map_err(|error| error.to_string());
    match decoded.and_then(|pem| Bundle::from_pem(&pem, "caBundle").map_err(|e| e.to_string())) {
        Ok(bundle) => Some(bundle),
        Err(error) => {
            let problem = format!("{}: {error}", entry.name());
            let path = format!("/webhooks/{}/clientConfig/caBundle", entry.index);
            let remove = json!({"op": "remove", "path": path});
            let remedy = Remedy::command(webhook.patch(entry, &remove));
            on.found(Code::CaBundleInvalid, "", webhook.label(), problem, remedy);
            None
        }
    }
}

/// The certificate that the API server is shown.
struct Shown {
    /// Where it was read.
    place: String,
    /// The object of its findings.
    object: String,
    /// It, and what stands between it and the CA.
    chain: Vec<Certificate>,
    /// The CA that signs, where the injector keeps it itself.
    authority: Option<Certificate>,
}

/// Reads it where it is kept, or else where it is served.
async fn shown(
    on: &mut Inspection<'_>,
    webhook: &Webhook,
    injector: &Injector,
    config: &Config,
    options: &Options,
) -> Result<Option<Shown>, Error> {
    let secret = match (config.tls.mode, &config.tls.folder) {
        (TlsMode::SelfIssued, None) => Some(config.tls.secret.clone()),
        (TlsMode::Files, Some(folder)) => {
            injector.secret_at(&folder.display().to_string()).map(str::to_owned)
        }
        _ => None,
    };
    if let Some(secret) = secret {
        return kept(on, &secret, injector, config, options).await;
    }
    let what = "the certificate of the injector";
    let Some(Called::Url(url)) = webhook.called() else {
        on.not_checked(what, "it lies in a folder of the injector");
        return Ok(None);
    };
    Ok(match served::chain(&url).await {
        Ok(chain) => Some(Shown {
            place: format!("the certificate that {url} serves"),
            object: webhook.label(),
            chain,
            authority: None,
        }),
        Err(problem) => {
            on.not_checked(what, problem);
            None
        }
    })
}

/// Reads it from its Secret.
async fn kept(
    on: &mut Inspection<'_>,
    secret: &str,
    injector: &Injector,
    config: &Config,
    options: &Options,
) -> Result<Option<Shown>, Error> {
    let namespace = &options.injector_namespace;
    let object = format!("secret/{secret}");
    let needs = format!("get the secret {secret} in namespace {namespace}");
    let about = About { what: "the certificate of the injector", needs: &needs };
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
    let own = config.tls.mode == TlsMode::SelfIssued;
    let data = match on.get(about, &path).await? {
        Reply::Unknown => return Ok(None),
        Reply::Absent => {
            let problem = "it does not exist";
            let remedy = if own {
                injector.restart()
            } else {
                Remedy::advice("see that what writes it runs: with cert-manager, its controller")
            };
            on.found(Code::CertificateMissing, namespace, object, problem, remedy);
            return Ok(None);
        }
        Reply::Found(found) => found.get("data").cloned().unwrap_or(Value::Null),
    };
    // Neither of the private keys is looked at.
    let mut read = |key: &str| match certificates(&data, key) {
        Ok(certificates) => Some(certificates),
        Err(problem) => {
            let delete = format!("kubectl delete {object} --namespace {namespace}");
            let remedy = if own {
                Remedy::command(delete)
            } else {
                Remedy::advice("see that what writes it runs: with cert-manager, its controller")
            };
            let code = Code::CertificateInvalid;
            on.found(code, namespace, object.clone(), problem, remedy);
            None
        }
    };
    let Some(chain) = read("tls.crt") else {
        return Ok(None);
    };
    let authority = if own { read("ca.crt").map(|mut all| all.swap_remove(0)) } else { None };
    let place = format!("the certificate of Secret {namespace}/{secret}");
    Ok(Some(Shown { place, object, chain, authority }))
}

fn certificates(data: &Value, key: &str) -> Result<Vec<Certificate>, String> {
    let decoded = BASE64_STANDARD.decode(text(data, key)).map_err(|e| format!("{key}: {e}"))?;
    Certificate::all_from_pem(&decoded, key).map_err(|error| error.to_string())
}

/// Whether one of them has ended; says so, and also of one that should have been replaced.
fn expiry(
    on: &mut Inspection<'_>,
    shown: &Shown,
    injector: &Injector,
    config: &Config,
    options: &Options,
    now: SystemTime,
) -> bool {
    let namespace =
        if shown.object.starts_with("secret/") { &options.injector_namespace } else { "" };
    let own = config.tls.mode == TlsMode::SelfIssued;
    let terms = config.tls.terms();
    let each = [
        ("certificate", shown.chain.first(), terms.leaf),
        ("CA", shown.authority.as_ref(), terms.ca),
    ];
    let mut expired = false;
    for (what, certificate, term) in each {
        let Some(certificate) = certificate else {
            continue;
        };
        let remedy = || {
            if own {
                injector.restart()
            } else {
                Remedy::advice("renew it where it is issued, for example with `cmctl renew`")
            }
        };
        let end = humantime::format_rfc3339_seconds(certificate.not_after());
        let object = shown.object.clone();
        if certificate.not_after() <= now {
            expired = true;
            let problem = format!("the {what} {} expired at {end}", certificate.subject());
            on.found(Code::CertificateExpired, namespace, object, problem, remedy());
        } else if let Some(due) = due(certificate, own.then_some(term), &terms)
            && due <= now
        {
            let due = humantime::format_rfc3339_seconds(due);
            let problem = format!(
                "the {what} {} was to be replaced at {due}, and expires at {end}",
                certificate.subject()
            );
            on.found(Code::CertificateOverdue, namespace, object, problem, remedy());
        }
    }
    expired
}

/// When a certificate should long have been replaced; one of somebody else's when a tenth of its
/// life is left.
fn due(certificate: &Certificate, term: Option<Term>, terms: &certs::Terms) -> Option<SystemTime> {
    if let Some(term) = term {
        return Some(terms.overdue(certificate, term));
    }
    let life = certificate.not_after().duration_since(certificate.not_before()).ok()?;
    Some(certificate.not_after() - life / 10)
}
