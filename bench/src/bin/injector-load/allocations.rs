//! What one injection asks of the allocator: the same in every run.

use bench::allocations::Count;
use bench::pods::{cases, injected, review, unasked};
use bench::report::Table;
use injector::admission::{Review, answer};
use injector::{Policy, RequestInfo, inject};

/// Of every case.
pub(crate) fn allocations() -> Table {
    let (policy, request) = (Policy::builtin(), RequestInfo::pod_create("shop"));
    let mut table = Table::new(
        "Allocations (calls, kB) for one pod",
        &["pod", "skip", "inject", "again", "whole review"],
    );
    for case in cases() {
        let body = review(&case.pod);
        let show = |count: Count| format!("{}, {}", count.times, count.bytes / 1000);
        let of = |pod| show(Count::of(|| inject(pod, &request, &policy)));
        table.row([
            case.name.to_owned(),
            of(&unasked(&case.pod)),
            of(&case.pod),
            of(&injected(&case.pod)),
            show(Count::of(|| {
                let review = Review::read(&body).expect("it is one");
                let outcome = inject(&review.object, &review.request, &policy);
                answer(review.version, &review.request.uid, &outcome)
            })),
        ]);
    }
    table
}
