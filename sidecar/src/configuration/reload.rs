//! Following the files while `mesher` runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::Folder;
use discovery::center::Held;
use tokio::sync::watch;

use super::disk::Disk;
use super::values::Origin;
use super::{Configuration, Dump, Faulty, Inputs, Problem, Severity};
use crate::settings::Settings;

/// How often to look where the kernel reports no changes.
const POLL: Duration = Duration::from_secs(10);

/// How the last look at the files went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reload {
    /// How often a changed configuration was put in force.
    pub taken_over: u64,
    /// How often one was refused; the last good one stayed in force.
    pub refused: u64,
    /// What is wrong with the one on disk now; empty: it is the one in force.
    pub faults: Vec<Problem>,
    /// The last change of a configuration center that was refused.
    pub center_refused: Option<Refused>,
    /// When the one on disk was last found to be in order, and put in force if it was another.
    pub last_success: Option<SystemTime>,
    /// What of the one on disk is in force after a restart only.
    pub restart_needed: Vec<&'static str>,
    /// The values of the last one that was in order.
    pub values: Arc<Dump>,
    /// What that one was warned of.
    pub hints: Vec<Problem>,
    /// It grows with every change of the rest.
    pub generation: u64,
}

/// A change that was not put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When it was found.
    pub at: SystemTime,
    /// What is wrong with it.
    pub faults: Vec<Problem>,
    /// Whether nothing better has come since.
    pub current: bool,
}

impl Reload {
    /// How it stands when `mesher` has started with `configuration`.
    pub fn starting(configuration: &Configuration) -> Self {
        Self {
            last_success: Some(SystemTime::now()),
            values: Arc::new(configuration.dump()),
            hints: configuration.problems.clone(),
            ..Self::default()
        }
    }

    /// Takes down which of `faults` a configuration center has brought.
    fn note_center(&mut self, faults: &[Problem]) {
        let of_center = |fault: &&Problem| matches!(fault.origin, Some(Origin::Center(..)));
        let faults: Vec<_> = faults.iter().filter(of_center).cloned().collect();
        if faults.is_empty() {
            self.center_refused.iter_mut().for_each(|refused| refused.current = false);
        } else {
            self.center_refused = Some(Refused { at: SystemTime::now(), faults, current: true });
        }
    }
}

/// What is in force, as it changes: the settings, which `mesher` was `started` with, and how the last
/// change went. Ends with the last receiver.
///
/// The folders are watched as a whole, as Kubernetes replaces a mounted ConfigMap by renaming a
/// symlink. Whatever changes, there or in a configuration center, everything is read anew and
/// checked as at the start, once nobody is writing it. A configuration with an error changes nothing.
pub fn follow(
    inputs: Inputs,
    running: Settings,
    started: Reload,
    center: Option<watch::Receiver<Held>>,
) -> (watch::Receiver<Arc<Settings>>, watch::Receiver<Reload>) {
    let (settings, settings_receiver) = watch::channel(Arc::new(running));
    let (reload, reload_receiver) = watch::channel(started);
    tokio::spawn(async move {
        let ended = settings.clone();
        tokio::select! {
            () = look(&inputs, &settings, &reload, center) => {}
            () = ended.closed() => {}
        }
    });
    (settings_receiver, reload_receiver)
}

async fn look(
    inputs: &Inputs,
    settings: &watch::Sender<Arc<Settings>>,
    reload: &watch::Sender<Reload>,
    mut center: Option<watch::Receiver<Held>>,
) {
    let folders = inputs.folders();
    let mut watches: Vec<_> =
        folders.iter().map(|folder| Folder::new(folder).watch(POLL)).collect();
    let mut disk = Disk::new(inputs, &folders);
    let mut seen = None;
    // What the center last said that could be put in force.
    let mut good = Held::default();
    loop {
        // The first look comes before the first change: files may have changed since they were
        // read for the start.
        let files = disk.settled(seen.map(|(files, _)| files)).await;
        let held = center.as_mut().map(|it| it.borrow_and_update().clone()).unwrap_or_default();
        let now = (files, held.generation);
        // What is wrong may lie beyond these files: in a certificate that is not there yet.
        let faulty = !reload.borrow().faults.is_empty();
        if seen != Some(now) || faulty {
            let found = Found::read(inputs, held, &good);
            if !disk.still_hold(files) {
                // It may be neither what was there nor what will be.
                continue;
            }
            seen = Some(now);
            found.take_over(&mut good, settings, reload);
        }
        let changes = watches.iter_mut().map(|watch| Box::pin(watch.next()));
        tokio::select! {
            _ = futures::future::select_all(changes) => {}
            () = said_otherwise(center.as_mut(), now.1) => {}
        }
    }
}

impl Inputs {
    /// Every folder whose change can be a change of the configuration.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.places.folders(&self.environment);
        folders.push(super::places::parent(&self.places.labels));
        folders.dedup();
        folders
    }
}

/// Waits until the center says something else than at `generation`; for ever where there is none.
async fn said_otherwise(center: Option<&mut watch::Receiver<Held>>, generation: u64) {
    let Some(center) = center else { return std::future::pending().await };
    if center.wait_for(|held| held.generation != generation).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What there is.
enum Found {
    /// A configuration without errors, and what a center said of it.
    InOrder(Configuration, Held),
    /// What the center says now has these errors, and with what it said before there are none: its
    /// last good word goes on, and the files with it.
    CenterFaulty(Configuration, Vec<Problem>),
    /// Nothing that could be put in force.
    Faulty(Vec<Problem>),
}

impl Found {
    fn read(inputs: &Inputs, held: Held, good: &Held) -> Self {
        let configuration = inputs.read_with(&held);
        if !configuration.is_faulty() {
            return Self::InOrder(configuration, held);
        }
        let before = (held.generation != good.generation).then(|| inputs.read_with(good));
        let faults = match configuration.settings() {
            Ok(_) => Vec::new(),
            Err(Faulty(faults)) => faults,
        };
        match before.filter(|before| !before.is_faulty()) {
            Some(before) => Self::CenterFaulty(before, faults),
            None => Self::Faulty(faults),
        }
    }

    fn take_over(
        self,
        good: &mut Held,
        settings: &watch::Sender<Arc<Settings>>,
        reload: &watch::Sender<Reload>,
    ) {
        match self {
            Self::InOrder(configuration, held) => {
                *good = held;
                put_in_force(configuration, settings, reload, Vec::new());
            }
            Self::CenterFaulty(before, faults) => put_in_force(before, settings, reload, faults),
            Self::Faulty(faults) => refuse(faults, reload),
        }
    }
}

/// Takes down what is wrong.
fn refuse(faults: Vec<Problem>, reload: &watch::Sender<Reload>) {
    let faulty = Faulty(faults);
    let changed = reload.send_if_modified(|state| {
        let changed = state.faults != faulty.0;
        state.refused += u64::from(changed);
        if changed {
            state.note_center(&faulty.0);
        }
        state.faults.clone_from(&faulty.0);
        state.generation += u64::from(changed);
        changed
    });
    if changed {
        tracing::error!(
            errors = faulty.0.len(),
            "the configuration has errors, the last good one stays in force: {faulty}"
        );
    }
}

/// Takes over a configuration without errors, beside which `faults` are what the center says now.
fn put_in_force(
    configuration: Configuration,
    settings: &watch::Sender<Arc<Settings>>,
    reload: &watch::Sender<Reload>,
    faults: Vec<Problem>,
) {
    let (values, hints) = (configuration.dump(), configuration.problems.clone());
    // It was asked before.
    let Ok(new) = configuration.settings() else { return };
    let well = faults.is_empty();
    if !well {
        refuse(faults, reload);
    }
    let (new, kept) = new.taken_over(&settings.borrow());
    let changed = settings.send_if_modified(|running| {
        let changed = **running != new;
        *running = Arc::new(new);
        changed
    });
    if changed {
        tracing::info!("a changed configuration is in force");
        for hint in &hints {
            tracing::warn!("{hint}");
        }
    }
    let restart = reload.borrow().restart_needed != kept;
    if restart && !kept.is_empty() {
        tracing::warn!("changed, and in force after a restart only: {}", kept.join(", "));
    }
    reload.send_if_modified(|state| {
        let healed = well && !state.faults.is_empty();
        // Another origin of the same value is no change of the settings, and shown all the same.
        let shown = *state.values != values || state.hints != hints;
        if shown {
            (state.values, state.hints) = (Arc::new(values), hints);
        }
        state.taken_over += u64::from(changed);
        if well {
            state.faults.clear();
            state.note_center(&[]);
        }
        if changed || healed {
            state.last_success = Some(SystemTime::now());
        }
        state.restart_needed = kept;
        let told = changed || restart || healed || shown;
        state.generation += u64::from(told);
        told
    });
}

impl Configuration {
    /// Problems to log at the start; errors are said by whoever does not go on.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Warning)
    }
}
