//! Why a request is not granted, in the words of the wire.

use serde::Serialize;

/// The reasons, each with its `errorCode` and `errorMessage`. All are HTTP 400, also what other
/// APIs would call not found: clients look at the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A field or parameter that is not acceptable.
    InvalidParameters,
    /// A service id that stands for another service.
    ServiceExists,
    /// No such service.
    NoService,
    /// It has instances; deleting it takes `force`.
    HasInstances,
    /// No such schema.
    NoSchema,
    /// No such instance.
    NoInstance,
    /// No such tag.
    NoTag,
    /// Others look it up; deleting it takes `force`.
    HasConsumers,
    /// There is no room for more.
    Quota,
    /// The data file cannot be written. The one HTTP 500.
    Backend,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::InvalidParameters => 400_001,
            Self::ServiceExists => 400_010,
            Self::NoService => 400_012,
            Self::HasInstances => 400_013,
            Self::NoSchema => 400_016,
            Self::NoInstance => 400_017,
            Self::NoTag => 400_018,
            Self::HasConsumers => 400_023,
            Self::Quota => 400_100,
            Self::Backend => 500_003,
        }
    }

    /// The sentence on the wire.
    pub fn message(self) -> &'static str {
        match self {
            Self::InvalidParameters => "Invalid parameter(s)",
            Self::ServiceExists => "Micro-service already exists",
            Self::NoService => "Micro-service does not exist",
            Self::HasInstances => "Micro-service has deployed instance(s)",
            Self::NoSchema => "Schema does not exist",
            Self::NoInstance => "Instance does not exist",
            Self::NoTag => "Tag does not exist",
            Self::HasConsumers => "Consumer(s) depends on this micro-service",
            Self::Quota => "No quota to create",
            Self::Backend => "Internal server error",
        }
    }
}

/// A refusal: the code, and a sentence about this request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}({detail})", code.message())]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// What is wrong with this request, for people.
    pub detail: String,
}

impl Refusal {
    /// A refusal with a sentence about this request.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A field or parameter that is not acceptable.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameters, detail)
    }

    /// The usual words for an unknown service.
    pub(super) fn no_service() -> Self {
        Self::new(Code::NoService, "Service does not exist.")
    }

    /// How it looks on the wire.
    pub fn body(&self) -> Body<'_> {
        Body {
            error_code: self.code.number().to_string(),
            error_message: self.code.message(),
            detail: &self.detail,
        }
    }
}

/// A refusal on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    error_code: String,
    error_message: &'static str,
    detail: &'a str,
}
