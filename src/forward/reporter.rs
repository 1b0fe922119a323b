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

use super::{
    counters::Counters, open_connections::OpenConnections, request::SteeringRequest, route::Route,
    status::ForwardStatus,
};
use crate::model::{
    endpoint::{Endpoint, PodId},
    event::{Event, EventKind, LocalAddress},
    forward::ForwardId,
    ports::RemotePort,
};

/// Where events go. Slow readers lose the oldest and learn how many; forwards never wait for them.
pub(super) type EventSender = broadcast::Sender<Arc<Event>>;

/// One forward of a target: its local address, on one address or several, and the port behind it.
pub(super) struct ForwardedPort {
    pub id: ForwardId,
    pub remote: RemotePort,
    pub bound: Vec<LocalAddress>,
    pub counters: Counters,
    /// Its connections, for those who ask.
    pub open: OpenConnections,
    /// The backend that new connections take.
    pub route: watch::Sender<Route>,
    status: Mutex<ForwardStatus>,
    /// What somebody asks of its supervisor.
    pub(super) request: Mutex<Option<SteeringRequest>>,
}

impl ForwardedPort {
    pub(super) fn new(id: ForwardId, remote: RemotePort, bound: Vec<LocalAddress>) -> Self {
        Self {
            id,
            remote,
            bound,
            counters: Counters::default(),
            open: OpenConnections::default(),
            route: watch::Sender::new(Route::Held),
            status: Mutex::new(ForwardStatus::new(Timestamp::now())),
            request: Mutex::new(None),
        }
    }

    pub(super) fn status(&self) -> ForwardStatus {
        self.status.lock().clone()
    }
}

/// The ports of a target, each in its subset.
#[derive(Default)]
struct PortTable {
    /// In the order in which they were typed.
    rows: Vec<PortRow>,
    /// Subsets that there ever were, beside the first.
    subsets: u32,
}

struct PortRow {
    port: Arc<ForwardedPort>,
    subset: u32,
}

/// What all that speak of one target share.
struct TargetStatus {
    events: EventSender,
    target: String,
    label: Option<String>,
    table: watch::Sender<PortTable>,
    /// Changes with each request to a supervisor.
    requests: watch::Sender<()>,
    /// Backends that there ever were.
    generations: AtomicU64,
}

/// What a reporter speaks of.
#[derive(Clone)]
enum ReportScope {
    Target,
    Subset(u32),
    End(Arc<ForwardedPort>),
}

/// Tells events of one target, of a subset of its ports, or of one forward of it.
#[derive(Clone)]
pub(super) struct Reporter {
    status: Arc<TargetStatus>,
    scope: ReportScope,
}

impl Reporter {
    pub(super) fn new(events: EventSender, target: String, label: Option<String>) -> Self {
        let (table, generations) = (watch::Sender::default(), AtomicU64::new(0));
        let requests = watch::Sender::default();
        Self {
            status: Arc::new(TargetStatus { events, target, label, table, requests, generations }),
            scope: ReportScope::Target,
        }
    }

    fn scoped(&self, scope: ReportScope) -> Self {
        Self { status: Arc::clone(&self.status), scope }
    }

    /// Of one forward.
    pub(super) fn for_port(&self, end: &Arc<ForwardedPort>) -> Self {
        self.scoped(ReportScope::End(Arc::clone(end)))
    }

    /// Of the subset that all ports are in at first.
    pub(super) fn for_first_subset(&self) -> Self {
        self.scoped(ReportScope::Subset(0))
    }

    /// Of all of the target.
    pub(super) fn for_target(&self) -> Self {
        self.scoped(ReportScope::Target)
    }

    /// The target as typed.
    pub(super) fn target(&self) -> &str {
        &self.status.target
    }

    /// What the user calls it.
    pub(super) fn label(&self) -> Option<&str> {
        self.status.label.as_deref()
    }

    /// The forwards that this speaks of.
    pub(super) fn ports(&self) -> Vec<Arc<ForwardedPort>> {
        self.status.table.borrow().ports(&self.scope)
    }

    pub(super) fn add(&self, end: Arc<ForwardedPort>) {
        self.status.table.send_modify(|table| table.rows.push(PortRow { port: end, subset: 0 }));
    }

    pub(super) fn remove(&self, id: ForwardId) {
        self.status.table.send_modify(|table| table.rows.retain(|row| row.port.id != id));
    }

    /// Makes a subset of its own of some ports: they have no backend for now.
    pub(super) fn split(&self, off: impl Fn(&ForwardedPort) -> bool) -> Self {
        let mut subset = 0;
        self.status.table.send_modify(|table| {
            table.subsets += 1;
            subset = table.subsets;
            for row in table.rows.iter_mut().filter(|row| self.scope.contains(row) && off(&row.port)) {
                row.subset = subset;
                row.port.route.send_replace(Route::Held);
            }
        });
        self.scoped(ReportScope::Subset(subset))
    }

    /// Puts the ports of this subset into another one that has a backend to `pod`, and on that backend; false where there is
    /// none. This subset is empty then.
    pub(super) fn join(&self, pod: &PodId) -> bool {
        let mut joined = false;
        self.status.table.send_modify(|table| {
            let open = table.rows.iter().filter(|row| !self.scope.contains(row)).find_map(|row| match &*row
                .port
                .route
                .borrow()
            {
                Route::Open(backend) if backend.pod.id == *pod => Some((row.subset, Arc::clone(backend))),
                _ => None,
            });
            let Some((subset, backend)) = open else { return };
            joined = true;
            for row in table.rows.iter_mut().filter(|row| self.scope.contains(row)) {
                row.subset = subset;
                row.port.route.send_replace(Route::Open(Arc::clone(&backend)));
            }
        });
        joined
    }

    /// Waits until no forward is left in this subset.
    pub(super) async fn emptied(&self) {
        let mut table = self.status.table.subscribe();
        // The sender is held by this reporter.
        let _ = table.wait_for(|table| !table.rows.iter().any(|row| self.scope.contains(row))).await;
    }

    /// Leaves a request for the supervisor of a port.
    pub(super) fn request(&self, port: &ForwardedPort, request: SteeringRequest) {
        *port.request.lock() = Some(request);
        self.status.requests.send_replace(());
    }

    /// Waits for a request to one of these forwards. One that is not waited for any more is not lost.
    pub(super) async fn next_request(&self) -> SteeringRequest {
        // Before the look: what comes after it is seen.
        let mut requests = self.status.requests.subscribe();
        loop {
            if let Some(request) = self.ports().iter().find_map(|port| port.request.lock().take()) {
                return request;
            }
            // The sender is held by this reporter.
            let _ = requests.changed().await;
        }
    }

    /// Publishes the backend that new connections take.
    pub(super) fn publish(&self, route: &Route) {
        // Held meanwhile, so that no port joins in between and misses it.
        let table = self.status.table.borrow();
        for row in table.rows.iter().filter(|row| self.scope.contains(row)) {
            row.port.route.send_if_modified(|now| {
                let same = matches!((&*now, route), (Route::Held, Route::Held));
                *now = route.clone();
                !same
            });
        }
    }

    /// The number of the next backend: it grows with each backend of the target.
    pub(super) fn next_generation(&self) -> u64 {
        self.status.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes the pod that new connections go to.
    pub(super) fn record_pod(&self, pod: &Endpoint) {
        for end in self.ports() {
            end.status.lock().pod = Some(pod.clone());
        }
    }

    pub(super) fn emit(&self, what: EventKind) {
        let at = Timestamp::now();
        let (ends, all) = {
            let table = self.status.table.borrow();
            (table.ports(&self.scope), table.rows.len())
        };
        for end in &ends {
            end.record(&what, at);
        }
        if ends.is_empty() {
            // The last one was stopped while the supervisor was about to speak.
            return;
        }
        let is_part = match self.scope {
            ReportScope::Target => false,
            ReportScope::Subset(_) => ends.len() < all,
            // The others go on. What else happens to one port is about its connections, and says so.
            ReportScope::End(_) => matches!(what, EventKind::Stopped { .. }),
        };
        let ports = if is_part { ends.iter().map(|end| end.remote.clone()).collect() } else { Vec::new() };
        let forwards = ends.iter().map(|end| end.id).collect();
        let TargetStatus { target, label, .. } = &*self.status;
        let event = Event { at, forwards, target: target.clone(), ports, label: label.clone(), kind: what };
        // Nobody listening is no trouble.
        let _ = self.status.events.send(Arc::new(event));
    }
}

impl PortTable {
    fn ports(&self, scope: &ReportScope) -> Vec<Arc<ForwardedPort>> {
        match scope {
            ReportScope::End(end) => vec![Arc::clone(end)],
            scope => {
                self.rows.iter().filter(|row| scope.contains(row)).map(|row| Arc::clone(&row.port)).collect()
            }
        }
    }
}

impl ReportScope {
    fn contains(&self, row: &PortRow) -> bool {
        match self {
            Self::Target => true,
            Self::Subset(subset) => row.subset == *subset,
            Self::End(end) => row.port.id == end.id,
        }
    }
}

impl ForwardedPort {
    /// Keeps what a list shows of it.
    fn record(&self, what: &EventKind, at: Timestamp) {
        if matches!(what, EventKind::ConnectionFailed { .. }) {
            self.counters.failed();
        }
        self.status.lock().record(what, at);
    }
}
