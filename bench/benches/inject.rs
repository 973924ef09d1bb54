//! In-process cost of a review.
fn main() {}
