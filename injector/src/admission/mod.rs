//! The wire format of admission: an `AdmissionReview` of `admission.k8s.io/v1` or `v1beta1` in,
//! one of the same version out.
//!
//! The way of the bytes: [`cost()`] weighs them before anything is parsed, [`Review::read`] takes
//! out what the decision needs, and [`answer()`] writes the [`Outcome`](crate::Outcome) back.
//! Nothing here knows of HTTP.

mod answer;
mod cost;
mod needed;
mod review;

pub use answer::{Answer, answer};
pub use cost::{COST_PER_OBJECT, COST_PER_VALUE, Scale, cost};
pub use review::{ApiVersion, Review, ReviewError};
