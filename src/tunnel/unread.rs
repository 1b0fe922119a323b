//! Memory of the whole process for what clients do not read while others on the same session have something to come.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How much of it there is. With what each client may leave unread in any case (`super::stream`), forty clients that do not
/// read stay below 64 MiB.
pub(super) const UNREAD_LIMIT: usize = 32 * 1024 * 1024;

/// What of it is taken. Of no meaning to memory order: a session that looks too early looks again.
#[derive(Debug, Default)]
pub(super) struct UnreadBudget {
    bytes: AtomicUsize,
    /// There is some again.
    pub(super) freed: Arc<Notify>,
    /// Connections have begun to wait for want of it, or wait no more.
    pub(super) blocked: Notify,
}

impl UnreadBudget {
    pub(super) fn is_spent(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= UNREAD_LIMIT
    }

    pub(super) fn add(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn subtract(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= UNREAD_LIMIT && before - bytes < UNREAD_LIMIT {
            self.freed.notify_waiters();
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
