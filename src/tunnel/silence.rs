//! What a pool does while its sessions are silent ([`crate::policy::liveness`]): its peer may be gone, or a part of the way
//! to it. Another session is dialled, for that is the quickest proof of either; new connections wait for it, or for the
//! first word of the peer. Whether another pod is better is for others to decide ([`SessionPool::silent`]).

use std::sync::Arc;

use tokio::time::Instant;

use super::pool::{PoolInner, PoolState, SessionPool};

impl SessionPool {
    /// Waits until all its sessions are silent, and tells since when.
    pub async fn silent(&self) -> Instant {
        loop {
            let changed = self.inner.limits.silence.notified();
            if let Some(since) = self.silent_since() {
                return since;
            }
            changed.await;
        }
    }

    /// Waits until one of its sessions speaks, an old one or one that was dialled meanwhile.
    pub async fn speaks(&self) {
        loop {
            let (changed, freed) = (self.inner.limits.silence.notified(), self.inner.limits.freed.notified());
            if self.silent_since().is_none() {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = freed => {}
            }
        }
    }

    /// Since when all its sessions are silent, while they are.
    pub fn silent_since(&self) -> Option<Instant> {
        self.inner.state.lock().silent_since()
    }

    /// Has connections that wait for a silent peer go elsewhere.
    pub fn desert(&self) {
        self.inner.state.lock().deserted = true;
        self.inner.changed();
    }
}

impl PoolInner {
    /// Asks every peer whether it still lives.
    pub(super) fn probe(&self) {
        for slot in &self.state.lock().slots {
            slot.session.probe();
        }
    }

    /// Dials another session where all are silent.
    pub(super) fn replace_silent(self: &Arc<Self>) {
        if self.state.lock().silent_since().is_some() {
            self.dial_missing();
        }
    }
}

impl PoolState {
    /// Since when all sessions that live are silent, while they are.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let mut since = None;
        for slot in self.slots.iter().filter(|slot| !slot.session.is_closed()) {
            since = since.max(Some(slot.session.silent_since()?));
        }
        since
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
