//! How often one pod calls the allocator. A third of an injection's time goes there, and unlike
//! time the count is the same on every machine: so it is what is held.

use bench::allocations::{Count, Counting};
use bench::pods::{injected, review, typical, unasked};
use injector::admission::{Review, answer};
use injector::{Policy, RequestInfo, inject};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the typical pod takes, by what is done with it.
const HELD: [(&str, u64); 4] =
    [("skip", 1), ("inject", 173), ("again", 299), ("whole review", 253)];

/// A count may drift by this many without a word.
const DRIFT: u64 = 20;

#[test]
fn the_typical_pod_takes_as_many_allocations_as_it_did() {
    let (policy, request) = (Policy::builtin(), RequestInfo::pod_create("shop"));
    let pod = typical();
    let (unasked, again, body) = (unasked(&pod), injected(&pod), review(&pod));
    let of = |pod| Count::of(|| inject(pod, &request, &policy)).times;
    // The first call also fills what the process keeps.
    of(&pod);
    let whole = Count::of(|| {
        let review = Review::read(&body).expect("it is one");
        let outcome = inject(&review.object, &review.request, &policy);
        answer(review.version, &review.request.uid, &outcome)
    });
    let found_all = [of(&unasked), of(&pod), of(&again), whole.times];
    for ((what, held), found) in HELD.into_iter().zip(found_all) {
        assert!(
            found.abs_diff(held) <= DRIFT,
            "{what}: {found} allocations instead of {held} (all: {all:?}).\n\
             More: find what allocates (bench/README.md names the tools) and whether it has to. \
             Less: well done.\n\
             Then put what is right into HELD in {}, and why into the commit.",
            file!(),
            all = found_all,
        );
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(Count::of(|| 7), Count::default());
    assert_eq!(Count::of(|| Vec::<u8>::with_capacity(100)), Count { times: 1, bytes: 100 });
}
