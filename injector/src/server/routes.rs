//! The paths of the webhook port.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use super::review::{Reviews, review, wrong_method, wrong_path};

/// `/mutate`, and the path that the original injector was called by.
pub(super) fn webhook(reviews: &Arc<Reviews>) -> Router {
    let reviewed = post(review).fallback(wrong_method);
    Router::new()
        .route("/mutate", reviewed.clone())
        .route("/webhookmutation", reviewed)
        .fallback(wrong_path)
        .with_state(Arc::clone(reviews))
}
