//! How the configuration stands on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::family::Writer;
use super::seconds;
use crate::configuration::Reload;

/// Errors that have a series of their own.
const MOST_FAULTS: usize = 20;

/// Lets `registry` say how the configuration stands on the disk.
pub(crate) fn of_reloads(registry: &mut Registry, reloads: watch::Receiver<Reload>) {
    registry.register_collector(Box::new(Reloads(reloads)));
}

/// Reads what the follower of the files has found.
#[derive(Debug)]
struct Reloads(watch::Receiver<Reload>);

impl Collector for Reloads {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reload = self.0.borrow().clone();
        let mut writer = Writer(encoder);
        let help = "Changes of the configuration, by what became of them";
        writer.counter("mesher_config_reloads", help, |family| {
            family.count(&[("result", "taken_over")], reload.taken_over)?;
            family.count(&[("result", "refused")], reload.refused)
        })?;
        let help = "What is wrong with the configuration that is not in force, by where it stands";
        writer.gauge("mesher_config_errors", help, |family| {
            let mut said = BTreeMap::new();
            for fault in reload.faults.iter().take(MOST_FAULTS) {
                let origin = fault.origin.as_ref().map(ToString::to_string).unwrap_or_default();
                *said.entry((origin, fault.key.as_str())).or_insert(0_i64) += 1;
            }
            for ((origin, key), count) in said {
                family.value(&[("origin", &origin), ("key", key)], count)?;
            }
            Ok(())
        })?;
        let in_force = i64::from(reload.faults.is_empty());
        let name = "mesher_config_last_reload_successful";
        writer.one_gauge(name, "0: the last good configuration is in force", in_force)?;
        let since = reload.last_success.unwrap_or(SystemTime::UNIX_EPOCH);
        let name = "mesher_config_last_reload_success_timestamp_seconds";
        let help = "When the configuration on the disk was last put in force";
        writer.one_gauge(name, help, seconds(since))?;
        let help = "1: something of the configuration is in force after a restart only";
        let needed = i64::from(!reload.restart_needed.is_empty());
        writer.one_gauge("mesher_config_restart_needed", help, needed)
    }
}
