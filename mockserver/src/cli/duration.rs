//! Durations as Go and people write them.

use std::time::Duration;

/// Reads `300ms`, `1.5s`, `1m30s`, or a bare `0`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write for example 300ms, 1.5s or 1m30s"))
}
