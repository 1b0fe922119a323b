//! Keeps the sets current that want to be (`save --auto`): what this process forwards, and no longer does, is written
//! to them as it happens.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{broadcast::Receiver, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::event_batch::EventBatch;
use crate::{
    forward::registry::Registry,
    model::{
        event::{Event, EventKind, StopReason},
        forward::{ForwardId, PortForward},
    },
    sets::{ForwardSet, SetEntry, SetStore},
};

/// How long the last change may take at the end: others may hold the lock, each for a moment.
const LAST_CHANGE: Duration = Duration::from_secs(2);

/// The task that does it.
pub(super) struct SetSync {
    task: Option<JoinHandle<()>>,
    begin: Option<oneshot::Sender<()>>,
    by_hand: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
}

/// A forward as a set has it.
#[derive(Clone)]
struct SyncedForward {
    entry: SetEntry,
    kubeconfig: Option<PathBuf>,
}

enum SetChange {
    Add(SyncedForward),
    Remove(SyncedForward),
}

impl SetSync {
    /// Nothing is written before [`begin`](Self::begin): a group that does not come about was never there.
    pub(super) fn new(registry: &Registry, configuration: Option<&Path>) -> Self {
        let (begin, begun) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let by_hand = Arc::new(AtomicBool::new(false));
        let task = configuration.map(|configuration| {
            let (sets, events) = (SetStore::new(configuration), registry.events());
            tokio::spawn(run(sets, registry.clone(), events, Arc::clone(&by_hand), begun, stopped))
        });
        Self { task, begin: Some(begin), by_hand, stop }
    }

    /// What is there works.
    pub(super) fn begin(&mut self) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }

    /// A person ends the process: what it forwards is not wanted any more.
    pub(super) fn interrupted(&self) {
        self.by_hand.store(true, Ordering::Relaxed);
    }

    /// Writes what is left to write.
    pub(super) async fn end(self) {
        let Self { task, begin, stop, .. } = self;
        drop((begin, stop));
        if let Some(task) = task {
            let _ = timeout(LAST_CHANGE, task).await;
        }
    }
}

async fn run(
    sets: SetStore,
    registry: Registry,
    mut events: Receiver<Arc<Event>>,
    by_hand: Arc<AtomicBool>,
    begun: oneshot::Receiver<()>,
    mut stopped: oneshot::Receiver<()>,
) {
    if begun.await.is_err() {
        return;
    }
    // What came before is in the list.
    events = events.resubscribe();
    let mut known = HashMap::new();
    let mut changes = Vec::new();
    add_started(&registry, &mut known, &mut changes);
    apply(&sets, changes).await;
    while let Some(batch) = EventBatch::next(&mut events, &mut stopped).await {
        let (mut changes, mut more) = (Vec::new(), batch.missed);
        for event in batch.events {
            match &event.kind {
                EventKind::Forwarding { .. } => more = true,
                EventKind::Stopped { by } => {
                    let by_hand = by_hand.load(Ordering::Relaxed);
                    let ended =
                        matches!(by, StopReason::Asked) || (by_hand && matches!(by, StopReason::Exit));
                    let forgotten = event.forwards.iter().filter_map(|id| known.remove(id));
                    // Of what merely ceased nothing is removed.
                    changes.extend(forgotten.filter(|_| ended).map(SetChange::Remove));
                }
                _ => {}
            }
        }
        // Once for all that were told of: the list has every forward.
        if more {
            add_started(&registry, &mut known, &mut changes);
        }
        apply(&sets, changes).await;
    }
}

/// Adds every forward that is not known yet.
fn add_started(
    registry: &Registry,
    known: &mut HashMap<ForwardId, SyncedForward>,
    changes: &mut Vec<SetChange>,
) {
    for forward in registry.list().iter().filter(|forward| forward.active) {
        if !known.contains_key(&forward.id)
            && let Some(synced) = SyncedForward::of(forward)
        {
            known.insert(forward.id, synced.clone());
            changes.push(SetChange::Add(synced));
        }
    }
}

async fn apply(sets: &SetStore, changes: Vec<SetChange>) {
    if changes.is_empty() {
        return;
    }
    let sets = sets.clone();
    let change = move |set: &mut ForwardSet, directory: &Path| {
        // Counted, so that each of them is made.
        changes.iter().filter(|change| change.apply_to(set, directory)).count() > 0
    };
    let notify =
        |lock: &Path| tracing::warn!("saving the sets that are kept current waits for {}", lock.display());
    let failed = spawn_blocking(move || sets.update_auto_sets(notify, change)).await.unwrap_or_default();
    for fatal in failed {
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("{fatal}: {why}");
    }
}

impl SyncedForward {
    fn of(forward: &PortForward) -> Option<Self> {
        let kubeconfig = forward.kubeconfig.as_ref().map(PathBuf::from);
        SetEntry::of(forward).map(|entry| Self { entry, kubeconfig })
    }
}

impl SetChange {
    /// Says whether that changes anything. Paths in the set are relative to `directory`.
    fn apply_to(&self, set: &mut ForwardSet, directory: &Path) -> bool {
        let (Self::Add(synced) | Self::Remove(synced)) = self;
        let same = set.is_of(synced.kubeconfig.as_deref(), directory);
        match self {
            Self::Add(synced) => {
                // A set has one kubeconfig; what needs another one is not for it. One without forwards takes any.
                if !same && set.entries.is_empty() {
                    set.kubeconfig.clone_from(&synced.kubeconfig);
                } else if !same {
                    return false;
                }
                set.add(&synced.entry)
            }
            Self::Remove(synced) => same && set.remove(&synced.entry),
        }
    }
}
