//! Everything that has a pod, page by page: nothing is kept of an object but its findings.

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{About, Error, Inspection, Reply};
use super::policy::Known;
use super::{Options, SOURCE};
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::check::workloads::{Place, Sieve};
use crate::kubernetes::get;
use crate::pod::text;

/// Objects of one page.
const PAGE: usize = 500;

/// A kind of object: where it is read, and what an item of the list leaves out.
struct Kind {
    group: &'static str,
    plural: &'static str,
    api_version: &'static str,
    name: &'static str,
}

const fn kind(
    group: &'static str,
    plural: &'static str,
    api_version: &'static str,
    name: &'static str,
) -> Kind {
    Kind { group, plural, api_version, name }
}

/// CronJobs before their Jobs, and workloads before their pods: what is wrong with a template is
/// said of it, and its pods only add to the number.
const KINDS: [Kind; 8] = [
    kind("/apis/batch/v1", "cronjobs", "batch/v1", "CronJob"),
    kind("/apis/batch/v1", "jobs", "batch/v1", "Job"),
    kind("/apis/apps/v1", "deployments", "apps/v1", "Deployment"),
    kind("/apis/apps/v1", "statefulsets", "apps/v1", "StatefulSet"),
    kind("/apis/apps/v1", "daemonsets", "apps/v1", "DaemonSet"),
    kind("/apis/apps/v1", "replicasets", "apps/v1", "ReplicaSet"),
    kind("/api/v1", "replicationcontrollers", "v1", "ReplicationController"),
    kind("/api/v1", "pods", "v1", "Pod"),
];

/// Only OpenShift has these.
const OPENSHIFT: Kind = kind(
    "/apis/apps.openshift.io/v1",
    "deploymentconfigs",
    "apps.openshift.io/v1",
    "DeploymentConfig",
);

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// A list that is being read.
struct Pages {
    what: String,
    path: String,
    needs: String,
    next: Option<String>,
    read: usize,
}

impl Pages {
    fn of(what: &str, path: String, needs: String) -> Self {
        Self { what: what.to_owned(), path, needs, next: Some(String::new()), read: 0 }
    }

    /// The next page; `None` after the last, and where it may not be read.
    async fn next(&mut self, on: &mut Inspection<'_>) -> Result<Option<Vec<Value>>, Error> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        let more = if next.is_empty() { next } else { format!("&continue={next}") };
        let request = get(&format!("{}?limit={PAGE}{more}", self.path));
        let about = About { what: &self.what, needs: &self.needs };
        let client = on.client.clone();
        let Reply::Found(page) = on.ask(about, client.request::<Page>(request)).await? else {
            return Ok(None);
        };
        let items = page.items.unwrap_or_default();
        self.read += items.len();
        if !page.metadata.next.is_empty() {
            (on.progress)(&self.what, self.read);
            self.next = Some(page.metadata.next);
        }
        Ok(Some(items))
    }
}

/// Checks every workload and pod of the cluster, or of one namespace. Answers with namespaces
/// where a pod that asks gets to the injector; `None`: there is none in the whole cluster.
pub(super) async fn check(
    on: &mut Inspection<'_>,
    options: &Options,
    policy: &Known,
    sieve: Sieve,
    webhook_since: Option<String>,
) -> Result<Option<Vec<String>>, Error> {
    let mut place = Place::new(&policy.settings, sieve);
    place.knows_policy = policy.sure;
    place.webhook_since = webhook_since;
    let all = namespaces(on, options, &mut place).await?;
    let enabled: Vec<String> =
        place.namespaces.enabled(&place.sieve).take(3).map(str::to_owned).collect();
    let nothing = all && enabled.is_empty();
    if nothing {
        let remedy = Remedy::advice(
            "kubectl label namespace NAME sidecar-injector=enabled, for each that is to have \
             sidecars",
        );
        let problem = "no namespace is enabled: no pod gets a sidecar";
        on.found(Code::NothingEnabled, "", "cluster", problem, remedy);
    }
    let openshift = is_openshift(on).await?.then_some(&OPENSHIFT);
    for kind in openshift.into_iter().chain(&KINDS) {
        let (within, scope) = match &options.namespace {
            Some(name) => (format!("/namespaces/{name}"), format!("in namespace {name}")),
            None => (String::new(), "in all namespaces (or name one with --namespace)".to_owned()),
        };
        let path = format!("{}{within}/{}", kind.group, kind.plural);
        let mut pages = Pages::of(kind.plural, path, format!("list {} {scope}", kind.plural));
        while let Some(items) = pages.next(on).await? {
            for mut item in items {
                item["apiVersion"] = json!(kind.api_version);
                item["kind"] = json!(kind.name);
                place.note(&item);
                place.check(SOURCE, &item, &mut on.findings);
            }
        }
    }
    Ok((!nothing).then_some(enabled))
}

/// Whether the API server knows OpenShift's workloads: to list what it does not know is forbidden
/// rather than fruitless to readers whose rights name every resource.
async fn is_openshift(on: &mut Inspection<'_>) -> Result<bool, Error> {
    let about =
        About { what: "whether there are DeploymentConfigs", needs: "get on the URL /apis" };
    let client = on.client.clone();
    let groups = on.ask(about, client.list_api_groups()).await?.found();
    Ok(groups.is_some_and(|all| all.groups.iter().any(|g| g.name == "apps.openshift.io")))
}

/// Reads the namespaces; whether all of them are known.
async fn namespaces(
    on: &mut Inspection<'_>,
    options: &Options,
    place: &mut Place<'_>,
) -> Result<bool, Error> {
    let mut take = |on: &mut Inspection<'_>, mut item: Value| {
        item["apiVersion"] = json!("v1");
        item["kind"] = json!("Namespace");
        if text(&item["status"], "phase") != "Terminating" {
            place.note(&item);
        }
        place.check(SOURCE, &item, &mut on.findings);
    };
    let Some(name) = &options.namespace else {
        let needs = "list namespaces (or name one with --namespace)".to_owned();
        let mut pages = Pages::of("namespaces", "/api/v1/namespaces".to_owned(), needs);
        let mut any = false;
        while let Some(items) = pages.next(on).await? {
            any |= !items.is_empty();
            for item in items {
                take(on, item);
            }
        }
        return Ok(any);
    };
    let needs = format!("get the namespace {name}");
    let about = About { what: "whether the namespace is enabled", needs: &needs };
    match on.get(about, &format!("/api/v1/namespaces/{name}")).await? {
        Reply::Found(item) => take(on, item),
        Reply::Absent => return Err(Error::NoNamespace(name.clone())),
        Reply::Unknown => {}
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::{KINDS, OPENSHIFT};

    #[test]
    fn every_kind_is_one_whose_pod_is_known() {
        for kind in KINDS.iter().chain([&OPENSHIFT]) {
            let object = serde_json::json!({
                "apiVersion": kind.api_version, "kind": kind.name,
                "metadata": {"name": "x"},
                "spec": {"template": {}, "jobTemplate": {"spec": {"template": {}}}},
            });
            let found = crate::manifest::objects(&object, "default");
            assert!(found[0].pod_in(&object).is_some(), "{}", kind.name);
        }
    }
}
