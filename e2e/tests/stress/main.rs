//! Everything that may befall an installation, one thing after another, while pods that ask for a
//! sidecar are created at 50 a second, or what a busy machine makes of that, and the CA is replaced
//! every few seconds.
//!
//! Each pod gets exactly one sidecar, or was let through by `failurePolicy: Ignore` at a time when
//! the injector could not be called; those are what `check` finds, no more and no fewer. What a
//! fault excuses stands beside it in `faults.rs`.

mod faults;
mod storm;
mod verdict;

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use testbed::{Cluster, ClusterOptions};

use storm::Storm;

/// One storm at a time: a second would only slow the machine down.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn two_replicas_weather_it() -> Result<()> {
    weather(2)
}

#[test]
fn three_replicas_weather_it() -> Result<()> {
    weather(3)
}

fn weather(replicas: usize) -> Result<()> {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let mut storm = Storm::rises(&cluster, replicas)?;
    storm.is_calm()?;
    storm.brings(&faults::A_CA_IS_REPLACED, Storm::replace_the_ca)?;
    storm.brings(&faults::THE_LEADER_IS_KILLED, Storm::kill_the_leader)?;
    storm.brings(&faults::NOBODY_LEADS, Storm::replace_the_leader)?;
    storm.brings(&faults::THE_LEADER_LEAVES, Storm::end_the_leader)?;
    storm.brings(&faults::THE_SECRET_IS_DELETED, Storm::delete_the_secret)?;
    storm.brings(&faults::THE_LEAF_HAS_RUN_OUT, Storm::let_the_leaf_run_out)?;
    storm.brings(&faults::THE_TEMPLATE_IS_BROKEN, Storm::break_and_repair_the_template)?;
    storm
        .brings(&faults::THE_CONFIGURATION_IS_DELETED, Storm::delete_and_apply_the_configuration)?;
    storm.brings(&faults::THE_API_SERVER_RESTARTS, Storm::restart_the_api_server)?;
    storm.is_calm()?;
    storm.passes()
}
