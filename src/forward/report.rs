//! Telling what happens to one target.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::model::{
    event::{Event, Happening},
    forward::ForwardId,
};

/// Where events go. Slow readers lose the oldest and learn how many; forwards never wait for them.
pub type Events = broadcast::Sender<Arc<Event>>;

/// Tells events of one target.
#[derive(Clone)]
pub(super) struct Reporter {
    events: Events,
    forwards: Arc<[ForwardId]>,
    target: String,
}

impl Reporter {
    pub(super) fn new(events: Events, forwards: impl Into<Arc<[ForwardId]>>, target: String) -> Self {
        Self { events, forwards: forwards.into(), target }
    }

    /// The target as typed.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn tell(&self, what: Happening) {
        let forwards = Arc::clone(&self.forwards);
        let event = Event { at: Timestamp::now(), forwards, target: self.target.clone(), what };
        // Nobody listening is no trouble.
        let _ = self.events.send(Arc::new(event));
    }
}
