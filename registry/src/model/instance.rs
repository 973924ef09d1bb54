//! One process that serves a service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Properties, is_zero};

/// How often an instance is at least expected to report, in seconds.
const SHORTEST_INTERVAL: i64 = 5;
/// How many reports may be missed: whatever a client asks for, it gets this.
const TIMES: i64 = 3;

/// One process that serves a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are their names on the wire")]
pub struct Instance {
    /// 32 hexadecimal digits, unless the client chose it.
    pub instance_id: String,
    /// The service it belongs to.
    pub service_id: String,
    /// Where it can be reached, usually `rest://host:port`; not looked at here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// The host it runs on.
    pub host_name: String,
    /// Absent only in records of an original that lost it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What the client wants others to know.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
    /// How it shows that it is alive.
    pub health_check: HealthCheck,
    /// When it was registered, in seconds since 1970.
    pub timestamp: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_center_info: Option<DataCenter>,
    /// When it was last changed, in seconds since 1970. Heartbeats change nothing.
    pub mod_timestamp: String,
    /// The version of its service.
    pub version: String,
}

/// Whether an instance wants traffic. All of them are found; consumers choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// It serves.
    Up,
    /// It does not.
    Down,
    /// Not yet.
    Starting,
    /// For testers only.
    Testing,
    /// Taken out by an operator.
    OutOfService,
}

impl Status {
    /// Reads the word on the wire.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "UP" => Self::Up,
            "DOWN" => Self::Down,
            "STARTING" => Self::Starting,
            "TESTING" => Self::Testing,
            "OUTOFSERVICE" => Self::OutOfService,
            _ => return None,
        })
    }
}

/// How an instance shows that it is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `push` or `pull`. There is nobody who pulls: both live by heartbeats.
    #[serde(default)]
    pub mode: String,
    /// For `pull`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: i64,
    /// Seconds between two heartbeats. Whoever sends a health check has to say it.
    #[serde(default)]
    pub interval: i64,
    /// How many may be missed.
    #[serde(default)]
    pub times: i64,
    /// For `pull`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { mode: "push".into(), port: 0, interval: 30, times: TIMES, url: String::new() }
    }
}

impl HealthCheck {
    /// What is stored of what a client asked for.
    #[must_use]
    pub fn granted(self) -> Self {
        Self { interval: self.interval.max(SHORTEST_INTERVAL), times: TIMES, ..self }
    }

    /// How long an instance lives without a heartbeat: `max(interval, 5) · 4` seconds.
    pub fn lease(&self) -> Duration {
        let interval = self.interval.max(SHORTEST_INTERVAL).unsigned_abs();
        Duration::from_secs(interval.saturating_mul(TIMES.unsigned_abs() + 1))
    }
}

/// Where an instance runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DataCenter {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The zone within it.
    pub available_zone: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_depends_on_the_interval_alone() {
        for (interval, times, stored, lease) in
            [(1, 0, 5, 20), (1, 1, 5, 20), (5, 1, 5, 20), (10, 1, 10, 40), (30, 9, 30, 120)]
        {
            let asked = HealthCheck { interval, times, ..HealthCheck::default() };
            let granted = asked.granted();
            assert_eq!((granted.interval, granted.times), (stored, 3));
            assert_eq!(granted.lease(), Duration::from_secs(lease));
        }
        let longest = HealthCheck { interval: i64::MAX, ..HealthCheck::default() };
        assert!(longest.granted().lease() > Duration::from_secs(1 << 40));
    }

    #[test]
    fn words_of_the_wire() {
        for word in ["UP", "DOWN", "STARTING", "TESTING", "OUTOFSERVICE"] {
            let status = Status::parse(word).expect("a status");
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("{word:?}"));
        }
        assert_eq!(Status::parse("up"), None);
        assert_eq!(Status::parse(""), None);
    }
}
