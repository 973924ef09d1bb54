//! Reads, decides and answers reviews of the typical pod, for profilers:
//! `valgrind --tool=callgrind target/bench/examples/reviews 2000`. Instructions for one review are
//! the difference between two counts, divided.

use std::hint::black_box;

use bench::pods::{review, typical};
use injector::admission::{Review, answer};
use injector::{Policy, inject};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).as_deref().unwrap_or("2000").parse()?;
    let (body, policy) = (review(&typical()), Policy::builtin());
    for _ in 0..count {
        let review = Review::read(black_box(&body))?;
        let outcome = inject(&review.object, &review.request, &policy);
        black_box(answer(review.version, &review.request.uid, &outcome));
    }
    Ok(())
}
