//! In-process cost of one pod: skip, inject and inject again, from the smallest pod to the
//! largest; and of a whole review, from the bytes that come to the bytes that go.

use std::hint::black_box;

use bench::pods::{cases, injected, review, unasked};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use injector::admission::{Review, answer};
use injector::{Policy, RequestInfo, inject};

fn bench(criterion: &mut Criterion) {
    let (policy, request) = (Policy::builtin(), RequestInfo::pod_create("shop"));
    let mut group = criterion.benchmark_group("injector");
    for case in cases() {
        let body = review(&case.pod);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let (unasked, again) = (unasked(&case.pod), injected(&case.pod));
        for (what, pod) in [("skip", &unasked), ("inject", &case.pod), ("again", &again)] {
            group.bench_with_input(BenchmarkId::new(what, case.name), pod, |bencher, pod| {
                bencher.iter(|| inject(black_box(pod), &request, &policy));
            });
        }
        group.bench_with_input(BenchmarkId::new("review", case.name), &body, |bencher, body| {
            bencher.iter(|| {
                let review = Review::read(black_box(body)).expect("it is one");
                let outcome = inject(&review.object, &review.request, &policy);
                answer(review.version, &review.request.uid, &outcome)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
