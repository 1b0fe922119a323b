//! What is known of a target and its forwards, and the telling of it.
//!
//! Everything that happens is told through a [`Reporter`], which also keeps the last of it: the state that a list shows
//! is the one that the events told.
//!
//! Ports of a target that go to one pod are a *subset* of them; mostly that is all of them. What happens to a subset's
//! pod is told once, for all of its ports, and its route is published to all of them together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use super::{counters::Counters, route::Route, status::Status};
use crate::model::{
    endpoint::{Endpoint, PodId},
    event::{Bound, Event, Happening},
    forward::ForwardId,
    ports::Remote,
};

/// Where events go. Slow readers lose the oldest and learn how many; forwards never wait for them.
pub(super) type Events = broadcast::Sender<Arc<Event>>;

/// One forward of a target: its local end, on one address or several, and the port behind it.
pub(super) struct LocalEnd {
    pub id: ForwardId,
    pub remote: Remote,
    pub bound: Vec<Bound>,
    pub counters: Counters,
    /// The way that new connections take.
    pub route: watch::Sender<Route>,
    status: Mutex<Status>,
}

impl LocalEnd {
    pub(super) fn new(id: ForwardId, remote: Remote, bound: Vec<Bound>) -> Self {
        Self {
            id,
            remote,
            bound,
            counters: Counters::default(),
            route: watch::Sender::new(Route::Closed),
            status: Mutex::new(Status::new(Timestamp::now())),
        }
    }

    pub(super) fn status(&self) -> Status {
        self.status.lock().clone()
    }
}

/// The ports of a target, each in its subset.
#[derive(Default)]
struct Table {
    /// In the order in which they were typed.
    rows: Vec<Row>,
    /// Subsets that there ever were, beside the first.
    subsets: u32,
}

struct Row {
    end: Arc<LocalEnd>,
    subset: u32,
}

/// What all that speak of one target share.
struct Desk {
    events: Events,
    target: String,
    label: Option<String>,
    table: watch::Sender<Table>,
    /// Ways that there ever were.
    ways: AtomicU64,
}

/// What a reporter speaks of.
#[derive(Clone)]
enum Scope {
    Target,
    Subset(u32),
    End(Arc<LocalEnd>),
}

/// Tells events of one target, of a subset of its ports, or of one forward of it.
#[derive(Clone)]
pub(super) struct Reporter {
    desk: Arc<Desk>,
    scope: Scope,
}

impl Reporter {
    pub(super) fn new(events: Events, target: String, label: Option<String>) -> Self {
        let (table, ways) = (watch::Sender::default(), AtomicU64::new(0));
        Self { desk: Arc::new(Desk { events, target, label, table, ways }), scope: Scope::Target }
    }

    fn scoped(&self, scope: Scope) -> Self {
        Self { desk: Arc::clone(&self.desk), scope }
    }

    /// Of one forward.
    pub(super) fn of(&self, end: &Arc<LocalEnd>) -> Self {
        self.scoped(Scope::End(Arc::clone(end)))
    }

    /// Of the subset that all ports are in at first.
    pub(super) fn of_first_subset(&self) -> Self {
        self.scoped(Scope::Subset(0))
    }

    /// Of all of the target.
    pub(super) fn of_target(&self) -> Self {
        self.scoped(Scope::Target)
    }

    /// The target as typed.
    pub(super) fn target(&self) -> &str {
        &self.desk.target
    }

    /// What the user calls it.
    pub(super) fn label(&self) -> Option<&str> {
        self.desk.label.as_deref()
    }

    /// The forwards that this speaks of.
    pub(super) fn ends(&self) -> Vec<Arc<LocalEnd>> {
        self.desk.table.borrow().ends(&self.scope)
    }

    pub(super) fn add(&self, end: Arc<LocalEnd>) {
        self.desk.table.send_modify(|table| table.rows.push(Row { end, subset: 0 }));
    }

    pub(super) fn remove(&self, id: ForwardId) {
        self.desk.table.send_modify(|table| table.rows.retain(|row| row.end.id != id));
    }

    /// Makes a subset of its own of some ports: they have no way for now.
    pub(super) fn split(&self, off: impl Fn(&LocalEnd) -> bool) -> Self {
        let mut subset = 0;
        self.desk.table.send_modify(|table| {
            table.subsets += 1;
            subset = table.subsets;
            for row in table.rows.iter_mut().filter(|row| self.scope.holds(row) && off(&row.end)) {
                row.subset = subset;
                row.end.route.send_replace(Route::Closed);
            }
        });
        self.scoped(Scope::Subset(subset))
    }

    /// Puts the ports of this subset into another one that has a way to `pod`, and on that way; false where there is
    /// none. This subset is empty then.
    pub(super) fn join(&self, pod: &PodId) -> bool {
        let mut joined = false;
        self.desk.table.send_modify(|table| {
            let open = table.rows.iter().filter(|row| !self.scope.holds(row)).find_map(|row| {
                match &*row.end.route.borrow() {
                    Route::Open(way) if way.pod.id == *pod => Some((row.subset, Arc::clone(way))),
                    _ => None,
                }
            });
            let Some((subset, way)) = open else { return };
            joined = true;
            for row in table.rows.iter_mut().filter(|row| self.scope.holds(row)) {
                row.subset = subset;
                row.end.route.send_replace(Route::Open(Arc::clone(&way)));
            }
        });
        joined
    }

    /// Waits until no forward is left in this subset.
    pub(super) async fn emptied(&self) {
        let mut table = self.desk.table.subscribe();
        // The sender is held by this reporter.
        let _ = table.wait_for(|table| !table.rows.iter().any(|row| self.scope.holds(row))).await;
    }

    /// Publishes the way that new connections take.
    pub(super) fn publish(&self, route: &Route) {
        // Held meanwhile, so that no port joins in between and misses it.
        let table = self.desk.table.borrow();
        for row in table.rows.iter().filter(|row| self.scope.holds(row)) {
            row.end.route.send_if_modified(|now| {
                let same = matches!((&*now, route), (Route::Closed, Route::Closed));
                *now = route.clone();
                !same
            });
        }
    }

    /// The number of the next way: it grows with each way of the target.
    pub(super) fn next_generation(&self) -> u64 {
        self.desk.ways.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes the pod that new connections go to.
    pub(super) fn reached(&self, pod: &Endpoint) {
        for end in self.ends() {
            end.status.lock().pod = Some(pod.clone());
        }
    }

    pub(super) fn tell(&self, what: Happening) {
        let at = Timestamp::now();
        let (ends, all) = {
            let table = self.desk.table.borrow();
            (table.ends(&self.scope), table.rows.len())
        };
        for end in &ends {
            end.note(&what, at);
        }
        if ends.is_empty() {
            // The last one was stopped while the supervisor was about to speak.
            return;
        }
        let is_part = matches!(self.scope, Scope::Subset(_)) && ends.len() < all;
        let ports = if is_part { ends.iter().map(|end| end.remote.clone()).collect() } else { Vec::new() };
        let forwards = ends.iter().map(|end| end.id).collect();
        let Desk { target, label, .. } = &*self.desk;
        let event = Event { at, forwards, target: target.clone(), ports, label: label.clone(), what };
        // Nobody listening is no trouble.
        let _ = self.desk.events.send(Arc::new(event));
    }
}

impl Table {
    fn ends(&self, scope: &Scope) -> Vec<Arc<LocalEnd>> {
        match scope {
            Scope::End(end) => vec![Arc::clone(end)],
            scope => {
                self.rows.iter().filter(|row| scope.holds(row)).map(|row| Arc::clone(&row.end)).collect()
            }
        }
    }
}

impl Scope {
    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Target => true,
            Self::Subset(subset) => row.subset == *subset,
            Self::End(end) => row.end.id == end.id,
        }
    }
}

impl LocalEnd {
    /// Keeps what a list shows of it.
    fn note(&self, what: &Happening, at: Timestamp) {
        if matches!(what, Happening::ConnectionFailed { .. }) {
            self.counters.failed();
        }
        self.status.lock().note(what, at);
    }
}
