//! Keeps the sets current that want to be (`save --auto`): what this process forwards, and no longer does, is written
//! to them as it happens.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        oneshot,
    },
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use crate::{
    forward::registry::Registry,
    model::{
        event::{Event, Happening, Stop},
        forward::{ForwardId, PortForward},
    },
    sets::{Entry, Set, Sets},
};

/// How long the last change may take at the end: others may hold the lock, each for a moment.
const LAST_CHANGE: Duration = Duration::from_secs(2);

/// The task that does it.
pub(super) struct Keeper {
    task: Option<JoinHandle<()>>,
    begin: Option<oneshot::Sender<()>>,
    by_hand: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
}

/// A forward as a set has it.
#[derive(Clone)]
struct Kept {
    entry: Entry,
    kubeconfig: Option<PathBuf>,
}

enum Change {
    Add(Kept),
    Remove(Kept),
}

impl Keeper {
    /// Nothing is written before [`begin`](Self::begin): a group that does not come about was never there.
    pub(super) fn new(registry: &Registry, configuration: Option<&Path>) -> Self {
        let (begin, begun) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let by_hand = Arc::new(AtomicBool::new(false));
        let task = configuration.map(|configuration| {
            let (sets, events) = (Sets::new(configuration), registry.events());
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
    pub(super) fn by_hand(&self) {
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
    sets: Sets,
    registry: Registry,
    mut events: Receiver<Arc<Event>>,
    by_hand: Arc<AtomicBool>,
    begun: oneshot::Receiver<()>,
    stopped: oneshot::Receiver<()>,
) {
    if begun.await.is_err() {
        return;
    }
    // What came before is in the list.
    events = events.resubscribe();
    let mut known = HashMap::new();
    let mut changes = Vec::new();
    learn(&registry, &mut known, &mut changes);
    apply(&sets, changes).await;
    let mut stopped = pin!(async {
        let _ = stopped.await;
    });
    loop {
        let mut next = tokio::select! {
            // What has happened is written before the end is.
            biased;
            event = events.recv() => match event {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(count)) => Err(TryRecvError::Lagged(count)),
                Err(RecvError::Closed) => return,
            },
            () = &mut stopped => return,
        };
        // Many at a time are one change.
        let (mut changes, mut more) = (Vec::new(), false);
        loop {
            match next {
                Ok(event) => match &event.what {
                    Happening::Forwarding { .. } => more = true,
                    Happening::Stopped { by } => {
                        let by_hand = by_hand.load(Ordering::Relaxed);
                        let ended = matches!(by, Stop::Asked) || (by_hand && matches!(by, Stop::Exit));
                        let forgotten = event.forwards.iter().filter_map(|id| known.remove(id));
                        // Of what merely ceased nothing is removed.
                        changes.extend(forgotten.filter(|_| ended).map(Change::Remove));
                    }
                    _ => {}
                },
                Err(TryRecvError::Lagged(_)) => more = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
            next = events.try_recv();
        }
        // Once for all that were told of: the list has every forward.
        if more {
            learn(&registry, &mut known, &mut changes);
        }
        apply(&sets, changes).await;
    }
}

/// Adds every forward that is not known yet.
fn learn(registry: &Registry, known: &mut HashMap<ForwardId, Kept>, changes: &mut Vec<Change>) {
    for forward in registry.list().iter().filter(|forward| forward.active) {
        if !known.contains_key(&forward.id)
            && let Some(kept) = Kept::of(forward)
        {
            known.insert(forward.id, kept.clone());
            changes.push(Change::Add(kept));
        }
    }
}

async fn apply(sets: &Sets, changes: Vec<Change>) {
    if changes.is_empty() {
        return;
    }
    let sets = sets.clone();
    let change = move |set: &mut Set, directory: &Path| {
        // Counted, so that each of them is made.
        changes.iter().filter(|change| change.make(set, directory)).count() > 0
    };
    let say = |lock: &Path| tracing::warn!("sets that are kept current wait for {}", lock.display());
    let failed = spawn_blocking(move || sets.keep_current(say, change)).await.unwrap_or_default();
    for fatal in failed {
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("{fatal}: {why}");
    }
}

impl Kept {
    fn of(forward: &PortForward) -> Option<Self> {
        let kubeconfig = forward.kubeconfig.as_ref().map(PathBuf::from);
        Entry::of(forward).map(|entry| Self { entry, kubeconfig })
    }
}

impl Change {
    /// Says whether that changes anything. Paths in the set are relative to `directory`.
    fn make(&self, set: &mut Set, directory: &Path) -> bool {
        let (Self::Add(kept) | Self::Remove(kept)) = self;
        let same = set.is_of(kept.kubeconfig.as_deref(), directory);
        match self {
            Self::Add(kept) => {
                // A set has one kubeconfig; what needs another one is not for it. One without forwards takes any.
                if !same && set.entries.is_empty() {
                    set.kubeconfig.clone_from(&kept.kubeconfig);
                } else if !same {
                    return false;
                }
                set.add(&kept.entry)
            }
            Self::Remove(kept) => same && set.remove(&kept.entry),
        }
    }
}
