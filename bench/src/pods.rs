//! The pods that are measured, and the reviews that bring them.

use injector::{Policy, RequestInfo, inject};
use serde_json::{Value, json};

/// A pod under a name that tables show.
#[derive(Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// The pod, which asks for a sidecar.
    pub pod: Value,
}

/// From the smallest pod to one as large as etcd takes. [`typical`] is the second.
pub fn cases() -> Vec<Case> {
    [
        ("1 container", pod(1, 0, 0)),
        ("3 containers, 30 variables", typical()),
        ("50 containers", pod(50, 50, 0)),
        ("2,000 variables", pod(1, 2000, 0)),
        ("1.5 MiB", pod(1, 0, 1_572_864)),
    ]
    .map(|(name, pod)| Case { name, pod })
    .into()
}

/// The pod that the goals are about: three containers, ten variables in each.
pub fn typical() -> Value {
    pod(3, 30, 0)
}

/// A pod of a Deployment as the API server shows it to webhooks: defaults filled in, the service
/// account's token mounted. It has so many containers, variables in all, and bytes in an
/// annotation that is none of ours.
pub fn pod(containers: usize, variables: usize, padding: usize) -> Value {
    let each = variables / containers;
    let containers: Vec<Value> = (0..containers).map(|c| container(c, each)).collect();
    let mut annotations = json!({
        "sidecar.mesher.io/inject": "yes",
        "sidecar.mesher.io/servicePorts": "rest:8000",
    });
    if padding > 0 {
        annotations["example.com/padding"] = "x".repeat(padding).into();
    }
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": "web-7d4b9c6f5d-",
            "creationTimestamp": null,
            "labels": {"app": "web", "version": "v1", "pod-template-hash": "7d4b9c6f5d"},
            "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "web-7d4b9c6f5d", "uid": "6f0a8f1e-8f4e-4b51-9d0e-3d5f6f1f8a77",
                "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ]}}],
            "containers": containers,
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "serviceAccount": "default", "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

fn container(number: usize, variables: usize) -> Value {
    let env: Vec<Value> = (0..variables)
        .map(|v| json!({"name": format!("VARIABLE_{v}"), "value": format!("value-{number}-{v}")}))
        .collect();
    json!({
        "name": format!("app-{number}"), "image": "registry.example/shop/app:1.0",
        "ports": [{"containerPort": 8000 + number, "protocol": "TCP"}],
        "env": env,
        "resources": {"limits": {"memory": "256Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8000 + number, "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
            "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

/// The same pod, that says nothing to us.
pub fn unasked(pod: &Value) -> Value {
    let mut unasked = pod.clone();
    unasked["metadata"]["annotations"] = json!({"example.com/other": "yes"});
    unasked
}

/// The pod with its sidecar.
pub fn injected(pod: &Value) -> Value {
    let mut injected = pod.clone();
    inject(pod, &RequestInfo::pod_create("shop"), &Policy::builtin())
        .patch()
        .apply(&mut injected)
        .expect("a patch of ours applies: the laws of the injector say so");
    injected
}

/// The `AdmissionReview` with which the API server asks about `pod`.
pub fn review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0b4a4a3c-6d63-4e0b-9b1e-5f3b6f6d2c11",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop", "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "55a6c0b1-8c6e-4a44-8d6b-1f2ad2a1a111",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system",
                    "system:authenticated"]},
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    serde_json::to_vec(&review).expect("a JSON value serializes")
}
