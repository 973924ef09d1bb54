//! How the configuration center does.

use std::fmt;
use std::time::SystemTime;

use discovery::center::Held;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::family::Writer;
use super::seconds;

/// Lets `registry` say how the configuration center does.
pub(crate) fn of_center(registry: &mut Registry, held: watch::Receiver<Held>) {
    registry.register_collector(Box::new(Center(held)));
}

/// Reads what its follower has found.
#[derive(Debug)]
struct Center(watch::Receiver<Held>);

impl Collector for Center {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let held = self.0.borrow().clone();
        let mut writer = Writer(encoder);
        let help = "1: the configuration center answers; 0: what it last said is in force";
        let name = "mesher_config_center_connected";
        let connected = held.stale().is_none() && held.last_success().is_some();
        writer.one_gauge(name, help, i64::from(connected))?;
        let since = held.last_success().unwrap_or(SystemTime::UNIX_EPOCH);
        let name = "mesher_config_center_last_success_timestamp_seconds";
        let help = "When the configuration center last answered";
        writer.one_gauge(name, help, seconds(since))?;
        let help = "Keys that the configuration center holds for us, whatever comes of them";
        let keys: usize = held.layers.iter().map(|layer| layer.items.len()).sum();
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        writer.one_gauge("mesher_config_center_keys", help, keys)
    }
}
