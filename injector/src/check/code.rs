//! Every kind of fault, in one table: its word, how bad it is, what it means and what helps. The
//! documentation's table is this one.

use serde::{Serialize, Serializer};

use super::finding::Severity::{self, Error, Warning};

/// Makes the enum and its lookups of one list, so that no code can be left out of one of them.
macro_rules! codes {
    ($($variant:ident, $word:literal, $severity:ident, $meaning:literal, $remedy:literal;)*) => {
        /// The kinds of faults. Scripts rely on their words: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word users meet, for example `pod_skipped`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => $severity,)* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What helps in general; a finding says it for its object.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    AnnotationMisplaced, "annotation_misplaced", Error,
        "An annotation of ours stands on a workload, where nobody reads it.",
        "move it to the pod template";
    AnnotationUnknown, "annotation_unknown", Warning,
        "An annotation has our prefix, but a key that is none of ours.",
        "correct the key, or remove it";
    NamespaceNotEnabled, "namespace_not_enabled", Error,
        "A pod asks, but the labels of its namespace keep the API server from calling the injector.",
        "label the namespace, then restart what runs in it";
    NamespaceMisspelt, "namespace_misspelt", Warning,
        "A namespace has a label that looks like the one that enables it, and enables nothing.",
        "replace the label by `sidecar-injector=enabled`";
    LabelOptsOut, "label_opts_out", Error,
        "A label keeps a pod away from the injector, though its annotation asks for a sidecar.",
        "remove the label, or the annotation";
    PodRefused, "pod_refused", Error,
        "A pod would be refused: its annotations cannot be used.",
        "correct the annotation";
    PodSkipped, "pod_skipped", Error,
        "A pod asks for a sidecar and cannot get one.",
        "change what stands in the way, or do not ask";
    SidecarMissing, "sidecar_missing", Error,
        "A pod asked, has no sidecar, and would get one now: no injector answered when it was \
         created, or it was not called yet.",
        "restart the workload";
    SidecarStale, "sidecar_stale", Warning,
        "A sidecar is not what template and policy make today.",
        "restart the workload";
    ClusterUnreachable, "cluster_unreachable", Error,
        "The API server does not answer.",
        "check its address in the kubeconfig, and the network";
    WebhookMissing, "webhook_missing", Error,
        "The webhook configuration does not exist, or has no entry of ours: no pod gets a sidecar.",
        "apply the manifests";
    WebhookDrift, "webhook_drift", Warning,
        "A field of the webhook configuration is not as the manifests ship it.",
        "set it back, or apply the manifests";
    WebhookUnreachable, "webhook_unreachable", Error,
        "A pod that asks, created as a dry run, came back without a sidecar or was refused: the \
         API server cannot call the injector.",
        "start the injector; see the findings on certificates and replicas";
    WebhookFailed, "webhook_failed", Warning,
        "Since it started, the API server has called the injector in vain, and let pods through \
         without a sidecar or refused them.",
        "restart what `sidecar_missing` names; the API server's log says why";
    WebhookSlow, "webhook_slow", Warning,
        "More than one call in a hundred took the API server longer than half a second.",
        "give the injector CPU, or more replicas; look at the network in between";
    CaBundleMissing, "ca_bundle_missing", Error,
        "`caBundle` is empty: the API server trusts no certificate of the injector.",
        "the running injector fills it (with cert-manager: cainjector): see that it runs";
    CaBundleInvalid, "ca_bundle_invalid", Error,
        "`caBundle` holds something else than certificates.",
        "remove it: the running injector writes it anew";
    CaBundleMismatch, "ca_bundle_mismatch", Error,
        "The certificate does not verify by `caBundle`: the API server refuses the connection.",
        "restart the injector: it writes the CA that it serves under";
    CertificateMissing, "certificate_missing", Error,
        "The Secret with CA and certificate does not exist, or lacks one of them.",
        "restart the injector: it makes them";
    CertificateInvalid, "certificate_invalid", Error,
        "What the Secret holds as CA or certificate cannot be read.",
        "delete the Secret: the running injector makes it anew";
    CertificateExpired, "certificate_expired", Error,
        "CA or certificate is not valid any more.",
        "restart the injector: it issues a new one";
    CertificateOverdue, "certificate_overdue", Warning,
        "CA or certificate should have been replaced by now, and will expire.",
        "restart the injector; its log says why it did not";
    InjectorMissing, "injector_missing", Error,
        "The webhook configuration names a Service of the cluster that does not exist, or that \
         leads to no Deployment.",
        "apply the manifests";
    InjectorDown, "injector_down", Error,
        "No replica of the injector is ready.",
        "look at its pods";
    InjectorDegraded, "injector_degraded", Warning,
        "Fewer replicas of the injector are ready than wanted.",
        "look at its pods";
    InjectorAlone, "injector_alone", Warning,
        "`failurePolicy` is Fail with one replica: while it restarts, pods that ask are refused.",
        "run two replicas";
    VersionSkew, "version_skew", Warning,
        "The injector in the cluster is of another version than this program, and may decide \
         otherwise.",
        "use the program of its version, or update it";
    RightMissing, "right_missing", Error,
        "The injector's ServiceAccount lacks a right of `manifests/base/rbac.yaml`, or, where it \
         heals, of its component's.",
        "apply that file again";
    ConfigurationInvalid, "configuration_invalid", Error,
        "The injector's ConfigMap or a template cannot be used: the injector goes on with the last \
         good one, and does not start with it.",
        "correct it";
    NothingEnabled, "nothing_enabled", Warning,
        "No namespace is enabled: no pod gets a sidecar.",
        "label the namespaces that are to have sidecars";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn words_differ() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
