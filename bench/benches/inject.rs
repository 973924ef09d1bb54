//! In-process cost of one pod: skip, inject and inject again, from the smallest pod to the largest.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use injector::{Policy, RequestInfo, inject};
use serde_json::{Value, json};

/// A pod with so many containers, variables in all, and bytes of annotation.
fn pod(containers: usize, variables: usize, padding: usize) -> Value {
    let each = variables / containers;
    let containers: Vec<Value> = (0..containers)
        .map(|c| {
            let env: Vec<Value> = (0..each)
                .map(
                    |v| json!({"name": format!("VARIABLE_{v}"), "value": format!("value-{c}-{v}")}),
                )
                .collect();
            json!({"name": format!("app-{c}"), "image": "registry.example/app:1.0",
                "ports": [{"containerPort": 8000 + c}], "env": env,
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}})
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-7d4b9c6f5d-",
            "labels": {"app": "web", "version": "v1", "pod-template-hash": "7d4b9c6f5d"},
            "annotations": {"sidecar.mesher.io/inject": "yes",
                "sidecar.mesher.io/servicePorts": "rest:8000"}},
        "spec": {"containers": containers, "serviceAccountName": "default",
            "volumes": [{"name": "padding", "configMap": {"name": "x".repeat(padding)}}]},
    })
}

fn bench(criterion: &mut Criterion) {
    let (policy, request) = (Policy::builtin(), RequestInfo::pod_create("shop"));
    let mut group = criterion.benchmark_group("inject");
    for (name, pod) in [
        ("1 container", pod(1, 0, 0)),
        ("3 containers 30 variables", pod(3, 30, 0)),
        ("50 containers", pod(50, 50, 0)),
        ("2000 variables", pod(1, 2000, 0)),
        ("1.5 MiB", pod(1, 0, 1_572_864)),
    ] {
        let bytes = serde_json::to_vec(&pod).expect("a JSON value").len();
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut unasked = pod.clone();
        unasked["metadata"]["annotations"] = json!({});
        let mut done = pod.clone();
        inject(&pod, &request, &policy).patch().apply(&mut done).expect("our patch applies");
        for (what, pod) in [("skip", &unasked), ("inject", &pod), ("again", &done)] {
            group.bench_with_input(BenchmarkId::new(what, name), pod, |bencher, pod| {
                bencher.iter(|| inject(black_box(pod), &request, &policy));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
