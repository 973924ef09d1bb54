//! Rules of where requests go, as xDS has them (Istio's VirtualService): an ordered list for each
//! port of a service, of which the first that agrees with a request decides.
//!
//! They say more than the rules of [`crate::route`], and look at requests as Envoy does: an
//! expression has to match all of a text, and a header that is absent is not an empty one.

mod fault;
mod request_match;
mod retry;
mod rewrite;
mod rule;
mod share;

pub use fault::{Abort, Delay, Fault};
pub use request_match::{
    HeaderMatch, HeaderTest, PathMatch, QueryMatch, QueryTest, Request, RequestMatch, parameter,
    whole,
};
pub use retry::{RetryOn, RetryPolicy};
pub use rule::{
    Action, Destination, Forward, HashKey, HeaderChange, HeaderChanges, Mirror, PathRewrite,
    Redirect, Respond, RouteRule, Write,
};
pub use share::Share;
