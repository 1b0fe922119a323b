//! Events of the registry, as many at a time as have come: what is written down after them is written once for all.

use std::sync::Arc;

use tokio::sync::{
    broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    oneshot,
};

use crate::model::event::Event;

/// What came together.
pub(super) struct EventBatch {
    /// In order, as many as their channel holds at most.
    pub events: Vec<Arc<Event>>,
    /// Others were missed. What they told of is in the registry's list.
    pub missed: bool,
}

impl EventBatch {
    /// Waits for the next ones. `None` once there is nobody to tell any, or all have been taken and `stopped` has come.
    pub(super) async fn next(
        events: &mut Receiver<Arc<Event>>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Option<Self> {
        let mut next = tokio::select! {
            // What has happened is written before the end is.
            biased;
            event = events.recv() => match event {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(count)) => Err(TryRecvError::Lagged(count)),
                Err(RecvError::Closed) => return None,
            },
            _ = stopped => return None,
        };
        let mut batch = Self { events: Vec::new(), missed: false };
        loop {
            match next {
                Ok(event) => batch.events.push(event),
                Err(TryRecvError::Lagged(_)) => batch.missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(batch),
            }
            next = events.try_recv();
        }
    }
}
