//! The discovery backend of a proxy.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the proxy learns of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Discovery {
    /// ServiceComb service-center.
    #[serde(rename = "sc")]
    ServiceCenter,
    /// Istio.
    #[serde(rename = "pilot")]
    Pilot,
}

impl Discovery {
    /// `sc` or `pilot`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceCenter => "sc",
            Self::Pilot => "pilot",
        }
    }
}

impl FromStr for Discovery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sc" => Ok(Self::ServiceCenter),
            "pilot" => Ok(Self::Pilot),
            _ => Err(format!("\"{text}\": use sc (service-center) or pilot (Istio)")),
        }
    }
}
