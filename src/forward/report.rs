//! What is known of a target and its forwards, and the telling of it.
//!
//! Everything that happens is told through a [`Reporter`], which also keeps the last of it: the state that a list shows
//! is the one that the events told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::counters::Counters;
use crate::model::{
    endpoint::Endpoint,
    event::{Bound, Event, Happening},
    forward::{ForwardId, State},
    ports::Remote,
};

/// Where events go. Slow readers lose the oldest and learn how many; forwards never wait for them.
pub type Events = broadcast::Sender<Arc<Event>>;

/// One forward of a target: its local end, on one address or several, and the port behind it.
pub(super) struct LocalEnd {
    pub id: ForwardId,
    pub remote: Remote,
    pub bound: Vec<Bound>,
    pub counters: Counters,
    /// The last connection that failed.
    failure: Mutex<Option<Trouble>>,
}

impl LocalEnd {
    pub(super) fn new(id: ForwardId, remote: Remote, bound: Vec<Bound>) -> Self {
        Self { id, remote, bound, counters: Counters::default(), failure: Mutex::default() }
    }
}

/// What went wrong, and when.
#[derive(Clone)]
struct Trouble {
    at: Timestamp,
    why: String,
}

/// Where a target is.
#[derive(Clone)]
pub(super) struct Status {
    pub state: State,
    pub since: Timestamp,
    /// The pod that new connections go to, or went to last.
    pub pod: Option<Endpoint>,
    pub restarts: u64,
    trouble: Option<Trouble>,
}

/// What all that speak of one target share.
struct Desk {
    events: Events,
    target: String,
    label: Option<String>,
    ends: Mutex<Vec<Arc<LocalEnd>>>,
    status: Mutex<Status>,
}

/// Tells events of one target, or of one forward of it.
#[derive(Clone)]
pub(super) struct Reporter {
    desk: Arc<Desk>,
    /// The forward, where it is one's own affair.
    end: Option<Arc<LocalEnd>>,
}

impl Reporter {
    pub(super) fn new(events: Events, target: String, label: Option<String>) -> Self {
        let status =
            Status { state: State::Starting, since: Timestamp::now(), pod: None, restarts: 0, trouble: None };
        let desk = Desk { events, target, label, ends: Mutex::default(), status: Mutex::new(status) };
        Self { desk: Arc::new(desk), end: None }
    }

    /// Of one forward.
    pub(super) fn of(&self, end: &Arc<LocalEnd>) -> Self {
        Self { desk: Arc::clone(&self.desk), end: Some(Arc::clone(end)) }
    }

    /// The target as typed.
    pub(super) fn target(&self) -> &str {
        &self.desk.target
    }

    /// What the user calls it.
    pub(super) fn label(&self) -> Option<&str> {
        self.desk.label.as_deref()
    }

    /// The forwards of the target.
    pub(super) fn ends(&self) -> Vec<Arc<LocalEnd>> {
        lock(&self.desk.ends).clone()
    }

    pub(super) fn add(&self, end: Arc<LocalEnd>) {
        lock(&self.desk.ends).push(end);
    }

    pub(super) fn remove(&self, id: ForwardId) {
        lock(&self.desk.ends).retain(|end| end.id != id);
    }

    /// Notes the pod that new connections go to.
    pub(super) fn reached(&self, pod: &Endpoint) {
        lock(&self.desk.status).pod = Some(pod.clone());
    }

    pub(super) fn status(&self) -> Status {
        lock(&self.desk.status).clone()
    }

    /// What went wrong last, of the target or of one of the forward's connections.
    pub(super) fn last_error(&self, end: &LocalEnd) -> Option<String> {
        let of_target = lock(&self.desk.status).trouble.clone();
        let of_end = lock(&end.failure).clone();
        of_target.into_iter().chain(of_end).max_by_key(|trouble| trouble.at).map(|trouble| trouble.why)
    }

    pub(super) fn tell(&self, what: Happening) {
        let at = Timestamp::now();
        self.note(&what, at);
        let forwards: Arc<[ForwardId]> = match &self.end {
            Some(end) => [end.id].into(),
            None => lock(&self.desk.ends).iter().map(|end| end.id).collect(),
        };
        if forwards.is_empty() {
            // The last one was stopped while the supervisor was about to speak.
            return;
        }
        let Desk { target, label, .. } = &*self.desk;
        let event = Event { at, forwards, target: target.clone(), label: label.clone(), what };
        // Nobody listening is no trouble.
        let _ = self.desk.events.send(Arc::new(event));
    }

    /// Keeps what a list shows of it.
    fn note(&self, what: &Happening, at: Timestamp) {
        let (state, why) = match what {
            Happening::Forwarding { .. } | Happening::Recovered { .. } | Happening::Retargeted { .. } => {
                (State::Active, None)
            }
            Happening::Waiting { why, .. } => (State::Waiting, Some(why)),
            Happening::Reconnecting { why, .. } => (State::Reconnecting, Some(why)),
            Happening::Lost { why, .. } => (State::Lost, Some(why)),
            Happening::ConnectionFailed { why, .. } => {
                if let Some(end) = &self.end {
                    end.counters.failed();
                    *lock(&end.failure) = Some(Trouble { at, why: why.clone() });
                }
                return;
            }
            Happening::Started
            | Happening::Stopped { .. }
            | Happening::OtherPort { .. }
            | Happening::Notice { .. } => {
                return;
            }
        };
        let mut status = lock(&self.desk.status);
        if status.state != state {
            (status.state, status.since) = (state, at);
        }
        status.restarts += u64::from(matches!(what, Happening::Retargeted { .. }));
        if let Some(why) = why {
            status.trouble = Some(Trouble { at, why: why.clone() });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
