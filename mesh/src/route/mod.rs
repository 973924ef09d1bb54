//! Route rules: which instances of a service take which of its requests.
//!
//! They come from `router.yaml` or from Istio and are the same from here on. A [`Rule`] says whose
//! and which requests it is about, and between which [`Subset`]s of the instances they are shared
//! out. Of the rules of a service the first that is about a request counts; where none is, the
//! request goes to the default: the latest version.

mod condition;
mod request_match;
mod rule;
mod shares;
mod subset;

pub use condition::{Condition, Pattern, Test};
pub use request_match::{Asked, HeaderMatch, MARK, RequestMatch};
pub use rule::{Caller, Mirror, MirrorTo, Rule, Target};
pub use shares::Shares;
pub use subset::Subset;
