//! What all tunnels of a process may have together: sessions, dials, and memory for what clients do not read.
//!
//! Each pod's first session is not counted: a forward works however many others there are. Of the others there are at most
//! `MAX_SESSIONS`, wherever they lead, so that neither API server nor kubelet is flooded by a process with many targets.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, futures::Notified, watch};

use super::unread::UnreadBudget;

/// Sessions beside the first one to each pod. So many transfers may go on at a time, each of them undisturbed by the others.
/// At the server each is what one `kubectl exec` is.
pub(super) const MAX_SESSIONS: usize = 256;

/// Dials of further sessions at a time: enough for a burst of connections to wait for one dial and little more, few enough
/// that a server takes them for no attack.
pub(super) const MAX_DIALS: usize = 16;

/// The limits of a process, with what is taken of them.
#[derive(Debug)]
pub struct Limits {
    /// A permit for each session that there may still be.
    pub(super) sessions: Arc<Semaphore>,
    /// A permit for each dial.
    pub(super) dials: Arc<Semaphore>,
    /// What waits for clients that do not read.
    pub(super) unread: UnreadBudget,
    /// Something that a connection may wait for has come: a session is free or has ended, or a dial has.
    pub(super) freed: Notify,
    /// A session's peer has fallen silent, or speaks again.
    pub(super) silence: Notify,
    /// Counts what may have broken connections unseen ([`crate::policy::disturbance`]).
    disturbances: watch::Sender<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS)),
            dials: Arc::new(Semaphore::new(MAX_DIALS)),
            unread: UnreadBudget::default(),
            freed: Notify::new(),
            silence: Notify::new(),
            disturbances: watch::Sender::new(0),
        }
    }
}

impl Limits {
    /// Whether half of the sessions are there: none are dialled ahead of need any more.
    pub(super) fn are_half_taken(&self) -> bool {
        self.sessions.available_permits() <= MAX_SESSIONS / 2
    }

    /// Tells that connections may be dead that look alive: every session asks its peer, and no pause goes on.
    pub fn disturb(&self) {
        self.disturbances.send_modify(|count| *count += 1);
    }

    /// Follows that.
    pub fn disturbances(&self) -> watch::Receiver<u64> {
        self.disturbances.subscribe()
    }

    /// Waits until that, from now on.
    pub async fn disturbed(&self) {
        // The sender lives as long as this does.
        let _ = self.disturbances().changed().await;
    }

    /// Waits until more or fewer connections wait for somebody else's client than before.
    pub fn blocked(&self) -> Notified<'_> {
        self.unread.blocked.notified()
    }
}
