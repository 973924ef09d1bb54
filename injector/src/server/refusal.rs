//! The answers that are no reviews: every status but 200, in one place.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admission::ReviewError;

/// A request that gets no review for an answer. To the API server each is a failed call, to which
/// it applies the `failurePolicy`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no such path: reviews go to POST /mutate")]
    NoSuchPath,
    #[error("only POST is answered here")]
    Method,
    #[error("the content type is not application/json, or the body is encoded")]
    MediaType,
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    #[error("reading the body takes more than {budget} bytes of memory")]
    TooCostly { budget: usize },
    #[error("overloaded: as many reviews as allowed are under way; try again")]
    Overloaded,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body broke off")]
    BodyBroken,
    #[error("the time for this review is over")]
    Deadline,
    #[error(transparent)]
    NoReview(#[from] ReviewError),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong(_) | Self::TooCostly { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyBroken | Self::NoReview(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Overloaded => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
