//! Should this pod get a sidecar? The questions that need no template, in their fixed order.

use crate::annotations::{self, Ask};
use crate::content::Node;
use crate::pod::Pod;
use crate::policy::{Policy, Unannotated};
use crate::reason::Reason;
use crate::request::RequestInfo;
use crate::template::Template;

/// A pod that gets no sidecar: why, in a word and in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) reason: Reason,
    /// The annotation that is meant, if it is one.
    pub(crate) annotation: Option<String>,
    pub(crate) message: String,
}

impl Objection {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, annotation: None, message: message.into() }
    }

    /// About the annotation `key` (without prefix).
    pub(crate) fn of_annotation(reason: Reason, key: &str, problem: &str) -> Self {
        let key = format!("{}{key}", annotations::PREFIX);
        Self { reason, message: format!("{key}: {problem}"), annotation: Some(key) }
    }
}

/// Whether the pod wants a sidecar; one that tried to say so counts.
pub(crate) fn asked(pod: Pod<'_>, policy: &Policy) -> bool {
    match annotations::ask(pod) {
        Ask::Yes | Ask::Unclear(_) => true,
        Ask::No => false,
        Ask::Nothing => policy.unannotated == Unannotated::Inject,
    }
}

/// `not_pod_create` to `windows`. `passed` hears of every question that found nothing.
pub(crate) fn gate(
    pod: Pod<'_>,
    request: &RequestInfo,
    policy: &Policy,
    passed: &mut dyn FnMut(Reason),
) -> Result<(), Objection> {
    type Question = fn(Pod<'_>, &RequestInfo, &Policy) -> Option<Objection>;
    let questions: [(Reason, Question); 8] = [
        (Reason::NotPodCreate, not_pod_create),
        (Reason::IgnoredNamespace, ignored_namespace),
        (Reason::MirrorPod, mirror_pod),
        (Reason::OptedOut, opted_out),
        (Reason::NotRequested, not_requested),
        (Reason::InvalidInject, invalid_inject),
        (Reason::HostNetwork, host_network),
        (Reason::Windows, windows),
    ];
    for (reason, question) in questions {
        match question(pod, request, policy) {
            Some(objection) => return Err(objection),
            None => passed(reason),
        }
    }
    Ok(())
}

fn not_pod_create(pod: Pod<'_>, request: &RequestInfo, _: &Policy) -> Option<Objection> {
    let kind = &request.kind;
    let is_pod = kind.kind == "Pod" && kind.group.is_empty() && request.resource == "pods";
    let creates = request.operation == "CREATE" && request.sub_resource.is_empty();
    (!is_pod || !creates || !pod.0.is_object()).then(|| {
        let what =
            format!("{} of {}/{}", request.operation, request.resource, request.sub_resource);
        Objection::new(
            Reason::NotPodCreate,
            format!("{}: not the creation of a pod", what.trim_end_matches('/')),
        )
    })
}

fn ignored_namespace(_: Pod<'_>, request: &RequestInfo, policy: &Policy) -> Option<Objection> {
    policy.ignored_namespaces.contains(&request.namespace).then(|| {
        let message = format!("namespace {} is never injected: use another", request.namespace);
        Objection::new(Reason::IgnoredNamespace, message)
    })
}

fn mirror_pod(pod: Pod<'_>, _: &RequestInfo, _: &Policy) -> Option<Objection> {
    pod.annotations().get("kubernetes.io/config.mirror").is_some().then(|| {
        let message = "a mirror pod only shows a static pod: annotate nothing there";
        Objection::new(Reason::MirrorPod, message)
    })
}

fn opted_out(pod: Pod<'_>, _: &RequestInfo, _: &Policy) -> Option<Objection> {
    (annotations::ask(pod) == Ask::No)
        .then(|| Objection::new(Reason::OptedOut, format!("{} says no", annotations::INJECT)))
}

fn not_requested(pod: Pod<'_>, _: &RequestInfo, policy: &Policy) -> Option<Objection> {
    let silent = annotations::ask(pod) == Ask::Nothing;
    (silent && policy.unannotated == Unannotated::Skip).then(|| {
        let message = format!("{} is absent: set it to \"yes\"", annotations::INJECT);
        Objection::new(Reason::NotRequested, message)
    })
}

fn invalid_inject(pod: Pod<'_>, _: &RequestInfo, _: &Policy) -> Option<Objection> {
    let Ask::Unclear(found) = annotations::ask(pod) else {
        return None;
    };
    let problem = format!(
        "\"{}\" is neither yes ({}) nor no ({})",
        found.escape_default(),
        annotations::YES.join(", "),
        annotations::NO.join(", "),
    );
    Some(Objection::of_annotation(Reason::InvalidInject, "inject", &problem))
}

fn host_network(pod: Pod<'_>, _: &RequestInfo, _: &Policy) -> Option<Objection> {
    matches!(pod.spec().get("hostNetwork"), Some(Node::Bool(true))).then(|| {
        let message = "hostNetwork: the sidecar's ports would be the node's; remove hostNetwork";
        Objection::new(Reason::HostNetwork, message)
    })
}

fn windows(pod: Pod<'_>, _: &RequestInfo, _: &Policy) -> Option<Objection> {
    let spec = pod.spec();
    let os = spec.at("os").name();
    let selected = spec.at("nodeSelector").text("kubernetes.io/os");
    [os, selected].contains(&"windows").then(|| {
        Objection::new(Reason::Windows, "the pod runs on Windows, the sidecar only on Linux")
    })
}

/// Whether the pod holds what the template would add: `pod` is the pod without us.
pub(crate) fn name_taken(pod: Pod<'_>, template: &Template) -> Option<Objection> {
    let taken = |message: String| Some(Objection::new(Reason::NameTaken, message));
    let ours = template.container_names();
    if let Some(own) = pod.all_containers().map(Node::name).find(|n| ours.iter().any(|o| o == n)) {
        return taken(format!("the pod has a container {own} that is not ours: rename it"));
    }
    let ours = template.volume_names();
    if let Some(own) = pod.volumes().iter().map(Node::name).find(|n| ours.iter().any(|o| o == n)) {
        return taken(format!("the pod has a volume {own} that is not ours: rename it"));
    }
    for container in pod.containers().iter().chain(pod.init_containers().iter()) {
        for port in container.list("ports").iter() {
            let number = port.at("containerPort").as_u64();
            let tcp = matches!(port.text("protocol"), "" | "TCP");
            if let Some((_, ours)) = template
                .ports()
                .iter()
                .find(|(n, o)| (tcp && Some(*n) == number) || (!o.is_empty() && o == port.name()))
            {
                let (container, own) = (container.name(), number.unwrap_or_default());
                return taken(format!(
                    "port {own} of container {container} clashes with the sidecar's port {ours}"
                ));
            }
        }
    }
    None
}

/// Whether the pod is meant to end by itself.
pub(crate) fn runs_to_completion(pod: Pod<'_>, request: &RequestInfo) -> bool {
    let of_job = |kind: &str| matches!(kind, "Job" | "CronJob");
    request.workload.as_ref().is_some_and(|w| of_job(&w.kind))
        || pod.controller().is_some_and(|(kind, _)| of_job(kind))
        || matches!(pod.spec().text("restartPolicy"), "Never" | "OnFailure")
}
