//! The injector's Deployment: is it there, ready, and of this version?

use serde_json::{Map, Value};

use super::Options;
use super::api::{About, Error, Inspection, Reply};
use super::webhook::{Called, Webhook};
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::config::Overrides;
use crate::pod::{Pod, list, text};

/// Where the injector runs, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Injector {
    /// Its Deployment; `None`: outside of the cluster, or nowhere, or not to be seen.
    deployment: Option<Value>,
    namespace: String,
}

impl Injector {
    /// The ServiceAccount it acts as.
    pub(super) fn account(&self) -> &str {
        let account = self.pod_spec().map_or("", |spec| text(spec, "serviceAccountName"));
        if account.is_empty() { "sidecar-injector" } else { account }
    }

    /// How it is started anew.
    pub(super) fn restart(&self) -> Remedy {
        match &self.deployment {
            Some(deployment) => Remedy::command(format!(
                "kubectl rollout restart {} --namespace {}",
                label(deployment),
                self.namespace
            )),
            None => Remedy::advice("see that the injector runs, and restart it"),
        }
    }

    /// The Secret that is mounted at `folder`.
    pub(super) fn secret_at(&self, folder: &str) -> Option<&str> {
        let spec = self.pod_spec()?;
        let mounts = list(spec, "containers").iter().flat_map(|c| list(c, "volumeMounts"));
        let mount = mounts.into_iter().find(|mount| text(mount, "mountPath") == folder)?;
        let mut volumes = list(spec, "volumes").iter();
        let volume = volumes.find(|volume| text(volume, "name") == text(mount, "name"))?;
        Some(text(volume.get("secret")?, "secretName"))
    }

    /// What its Deployment sets by flags and environment, above the configuration file.
    pub(super) fn overrides(&self) -> Result<Overrides, String> {
        let Some(container) = self.pod_spec().and_then(own) else {
            return Ok(Overrides::default());
        };
        let words = ["command", "args"].into_iter().flat_map(|key| list(container, key));
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        let behind_serve = words.iter().position(|word| *word == "serve").map_or(0, |at| at + 1);
        let variables = list(container, "env").iter();
        let environment = variables
            .filter_map(|variable| Some((text(variable, "name"), variable.get("value")?.as_str()?)))
            .collect();
        Overrides::of_container(&words[behind_serve..], &environment).map_err(|error| {
            let error = error.to_string();
            error.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    fn pod_spec(&self) -> Option<&Value> {
        self.deployment.as_ref()?.pointer("/spec/template/spec")
    }
}

fn label(deployment: &Value) -> String {
    format!("deployment/{}", Pod::of(deployment).metadata().text("name"))
}

/// The container that is the injector, by its name, else the first.
fn own(pod_spec: &Value) -> Option<&Value> {
    let containers = list(pod_spec, "containers");
    let named = containers.iter().find(|container| text(container, "name") == "injector");
    named.or(containers.first())
}

/// Where the API server calls a Service, looks for the Deployment behind it.
pub(super) async fn check(
    on: &mut Inspection<'_>,
    webhook: Option<&Webhook>,
    options: &Options,
) -> Result<Injector, Error> {
    let none = Injector { deployment: None, namespace: options.injector_namespace.clone() };
    let Some((webhook, Called::Service { name, namespace })) =
        webhook.and_then(|webhook| Some((webhook, webhook.called()?)))
    else {
        return Ok(none);
    };
    let apply = || Remedy::advice("apply the manifests as you did to install");
    let service = format!("service/{name}");
    let needs = format!("get the service {name} in namespace {namespace}");
    let about = About { what: "the injector's Service", needs: &needs };
    let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
    let found = match on.get(about, &path).await? {
        Reply::Unknown => return Ok(none),
        Reply::Absent => {
            let problem = "the webhook configuration calls it, and it does not exist";
            on.found(Code::InjectorMissing, &namespace, service, problem, apply());
            return Ok(none);
        }
        Reply::Found(found) => found,
    };
    let needs = format!("list deployments in namespace {namespace}");
    let about = About { what: "the injector's Deployment", needs: &needs };
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments?limit=500");
    let Some(deployments) = on.get(about, &path).await?.found() else {
        return Ok(none);
    };
    let selector = found.pointer("/spec/selector").and_then(Value::as_object);
    let Some(deployment) = selector.and_then(|selector| behind(&deployments, selector)) else {
        let problem = "no Deployment makes pods for it: nobody answers the API server";
        on.found(Code::InjectorMissing, &namespace, service, problem, apply());
        return Ok(none);
    };
    replicas(on, deployment, webhook, &namespace);
    version(on, deployment, &namespace);
    Ok(Injector { deployment: Some(deployment.clone()), namespace })
}

/// The Deployment whose pods a Service selects.
fn behind<'a>(deployments: &'a Value, selector: &Map<String, Value>) -> Option<&'a Value> {
    list(deployments, "items").iter().find(|deployment| {
        let labels = deployment.pointer("/spec/template/metadata/labels");
        let has = |(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value);
        !selector.is_empty() && selector.iter().all(has)
    })
}

fn replicas(on: &mut Inspection<'_>, deployment: &Value, webhook: &Webhook, namespace: &str) {
    let count = |path: &str| deployment.pointer(path).and_then(Value::as_u64);
    let wanted = count("/spec/replicas").unwrap_or(1);
    let ready = count("/status/readyReplicas").unwrap_or(0);
    let object = label(deployment);
    let scale = |to| {
        Remedy::command(format!("kubectl scale {object} --replicas={to} --namespace {namespace}"))
    };
    let look = || {
        Remedy::advice(format!(
            "`kubectl describe {object} --namespace {namespace}` and `kubectl logs {object} \
             --namespace {namespace}` say why"
        ))
    };
    if wanted == 0 {
        let problem = "it is scaled to 0 replicas";
        on.found(Code::InjectorDown, namespace, object.clone(), problem, scale(1));
    } else if ready == 0 {
        let problem = format!("none of its {wanted} replicas is ready");
        on.found(Code::InjectorDown, namespace, object.clone(), problem, look());
    } else if ready < wanted {
        let problem = format!("{ready} of its {wanted} replicas are ready");
        on.found(Code::InjectorDegraded, namespace, object.clone(), problem, look());
    }
    if wanted == 1 && webhook.fails_closed() {
        let problem = "failurePolicy is Fail, and there is one replica: while it restarts, pods \
                       that ask are refused";
        on.found(Code::InjectorAlone, namespace, object.clone(), problem, scale(2));
    }
}

fn version(on: &mut Inspection<'_>, deployment: &Value, namespace: &str) {
    let spec = deployment.pointer("/spec/template/spec");
    let Some(container) = spec.and_then(own) else {
        return;
    };
    let image = text(container, "image");
    let own = env!("CARGO_PKG_VERSION");
    let object = label(deployment);
    let Some((repository, tag)) = tagged(image) else {
        let reason = format!("the image {image} has no tag that is a version");
        on.not_checked("the version of the injector", reason);
        return;
    };
    let (theirs, ours) = (numbers(tag), numbers(own));
    let Some(theirs) = theirs else {
        let reason = format!("the tag of the image {image} is no version");
        on.not_checked("the version of the injector", reason);
        return;
    };
    if Some(&theirs) == ours.as_ref() {
        return;
    }
    let problem = format!("it runs {tag}, this program is {own}");
    let remedy = if Some(&theirs) < ours.as_ref() {
        let name = text(container, "name");
        Remedy::command(format!(
            "kubectl set image {object} {name}={repository}:{own} --namespace {namespace}"
        ))
    } else {
        Remedy::advice(format!("check with sidecar-injector {tag}"))
    };
    on.found(Code::VersionSkew, namespace, object, problem, remedy);
}

/// Repository and tag of an image.
fn tagged(image: &str) -> Option<(&str, &str)> {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))
}

/// `1.2.3` or `v1.2.3`, and what a pre-release adds.
fn numbers(tag: &str) -> Option<(Vec<u64>, bool)> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let (version, released) =
        tag.split_once('-').map_or((tag, true), |(version, _)| (version, false));
    let numbers: Option<Vec<u64>> = version.split('.').map(|n| n.parse().ok()).collect();
    Some((numbers.filter(|numbers| numbers.len() == 3)?, released))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_images() {
        for (image, expected) in [
            ("sidecar-injector:0.1.0", Some(("sidecar-injector", "0.1.0"))),
            ("registry.example:5000/a/b:v1", Some(("registry.example:5000/a/b", "v1"))),
            ("a:1.0@sha256:00", Some(("a", "1.0"))),
            ("registry.example:5000/a", None),
            ("a@sha256:00", None),
        ] {
            assert_eq!(tagged(image), expected, "{image}");
        }
        assert!(numbers("0.9.0") < numbers("v0.10.0"));
        assert!(numbers("1.0.0-rc.1") < numbers("1.0.0"));
        assert_eq!(numbers("latest"), None);
        assert_eq!(numbers("1.0"), None);
    }
}
