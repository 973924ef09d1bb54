//! Pods that ask for a sidecar, created without a pause while a test breaks things.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod as KubernetesPod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::Value;
use testbed::Cluster;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::pod::{Pod, SIDECAR, asking};

/// Creations under way at once, for an API server that hangs.
const MOST_AT_ONCE: usize = 64;

/// Creates pods at a steady pace until it is told to stop.
#[derive(Debug)]
pub struct Load {
    state: Arc<State>,
    stop: watch::Sender<bool>,
    pacer: JoinHandle<()>,
    runtime: Runtime,
}

#[derive(Debug)]
struct State {
    /// What is broken at the moment; empty: nothing.
    fault: watch::Sender<String>,
    made: Mutex<Vec<Creation>>,
    with_sidecar: AtomicUsize,
}

/// One pod that was asked for.
#[derive(Debug, Clone)]
pub struct Creation {
    /// Its name.
    pub name: String,
    /// When it was sent.
    pub sent: Timestamp,
    /// What was broken when it was sent, and if that changed until the answer, also then.
    pub faults: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was created with so many sidecars.
    Created(usize),
    /// It was refused, or no answer came.
    Failed(String),
}

impl Load {
    /// Creates `per_second` pods in `namespace`, at most `most` of them.
    pub fn start(cluster: &Cluster, namespace: &str, per_second: u32, most: usize) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let kubeconfig = cluster.kubeconfig().to_owned();
        let client = runtime.block_on(injector::kubernetes::connect(Some(&kubeconfig)))?;
        let state = Arc::new(State {
            fault: watch::Sender::new(String::new()),
            made: Mutex::default(),
            with_sidecar: AtomicUsize::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let pace = Duration::from_secs(1) / per_second;
        let creating =
            create(client, namespace.to_owned(), pace, most, Arc::clone(&state), stopped);
        let pacer = runtime.spawn(creating);
        Ok(Self { state, stop, pacer, runtime })
    }

    /// From now on `fault` is what may be to blame; empty: nothing is.
    pub fn blame(&self, fault: &str) {
        self.state.fault.send_replace(fault.to_owned());
    }

    /// How many pods were created with a sidecar so far.
    pub fn with_sidecar(&self) -> usize {
        self.state.with_sidecar.load(Ordering::Relaxed)
    }

    /// Whether it still creates: it ends by itself after the most it was allowed.
    pub fn is_running(&self) -> bool {
        !self.pacer.is_finished()
    }

    /// Stops, waits for the answers, and returns all that was asked for.
    pub fn finish(self) -> Result<Vec<Creation>> {
        self.stop.send_replace(true);
        self.runtime.block_on(self.pacer).context("creating pods")?;
        let mut made = self.state.made.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *made))
    }
}

async fn create(
    client: Client,
    namespace: String,
    pace: Duration,
    most: usize,
    state: Arc<State>,
    mut stopped: watch::Receiver<bool>,
) {
    let api: Api<DynamicObject> = Api::namespaced_with(
        client,
        &namespace,
        &kube::api::ApiResource::erase::<KubernetesPod>(&()),
    );
    let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in 0..most {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => {}
        }
        let permit = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        let (api, state) = (api.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let creation = one(&api, format!("app-{number}"), &state).await;
            if creation.outcome == Outcome::Created(1) {
                state.with_sidecar.fetch_add(1, Ordering::Relaxed);
            }
            state.made.lock().unwrap_or_else(PoisonError::into_inner).push(creation);
            drop(permit);
        });
    }
    let all = u32::try_from(MOST_AT_ONCE).expect("it is small");
    let _ = room.acquire_many(all).await;
}

async fn one(api: &Api<DynamicObject>, name: String, state: &State) -> Creation {
    let pod = serde_json::from_value(asking(&name)).expect("a pod is an object");
    let sent = Timestamp::now();
    let mut faults = vec![state.fault.borrow().clone()];
    let answer = api.create(&PostParams::default(), &pod).await;
    let fault = state.fault.borrow().clone();
    if !faults.contains(&fault) {
        faults.push(fault);
    }
    let outcome = match answer {
        Ok(pod) => {
            Outcome::Created(sidecars(&Pod(serde_json::to_value(pod).unwrap_or(Value::Null))))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    Creation { name, sent, faults, outcome }
}

fn sidecars(pod: &Pod) -> usize {
    let all = pod.init_containers().iter().chain(pod.containers());
    all.filter(|container| container["name"] == SIDECAR).count()
}
