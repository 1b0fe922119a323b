//! Streams whose clients are behind, and whether a session reads on all the same.
//!
//! While one of them has more waiting than it may, nothing is read: the peer has no other way to learn of it. But
//! others on the session may have something to come, behind what comes for the client that is behind. For them it is
//! read on, as long as the process has memory for that ([`super::limits`]).

use std::{sync::Arc, task::Context};

use tokio::time::Instant;

use super::{status::SessionStatus, stream::StreamShared, stream_entry::StreamTable, wake::Wake};

/// Bytes read for clients that are behind since another's last came, after which no more are expected: on a session
/// that several streams fill, their frames of 32 KiB take turns.
const TURN_PASSED: usize = 1024 * 1024;

/// Those of one session.
pub(super) struct Stalled {
    full: Vec<Arc<StreamShared>>,
    /// Bytes that came for them since another stream had some.
    since_others: usize,
    /// Some of the others are counted as blocked.
    blocking: bool,
    /// Wakes when one of them has room.
    drained: Wake,
    /// Wakes when the process has memory for unread bytes again. There while it had none.
    freed: Option<Wake>,
}

impl Stalled {
    pub(super) fn new(status: &SessionStatus) -> Self {
        let drained = Wake::new(&status.drained);
        Self { full: Vec::new(), since_others: 0, blocking: false, drained, freed: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// Notes bytes that came for a stream; whether they `fill` it.
    pub(super) fn delivered(&mut self, stream: &Arc<StreamShared>, bytes: usize, fill: bool) {
        if fill {
            self.full.push(Arc::clone(stream));
        }
        self.since_others = if stream.is_full() { self.since_others + bytes } else { 0 };
    }

    /// Forgets a stream; whether it was one of them.
    pub(super) fn remove(&mut self, stream: &Arc<StreamShared>) -> bool {
        let before = self.full.len();
        self.full.retain(|full| !Arc::ptr_eq(full, stream));
        self.full.len() < before
    }

    /// Whether nothing may be read now. The task is woken when that may have changed.
    pub(super) fn stop(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut StreamTable,
        status: &SessionStatus,
    ) -> bool {
        if !self.is_full(cx) {
            self.block(None, streams, status);
            return false;
        }
        let now = Instant::now();
        let is_turn = self.since_others < TURN_PASSED && status.streams() > self.full.len();
        let is_wanted = is_turn || streams.values().any(|entry| entry.is_owed(now));
        let is_blocked = is_wanted && self.is_spent(cx, status);
        self.block(is_blocked.then_some(now), streams, status);
        is_blocked || !is_wanted
    }

    /// Whether some client is behind by more than may wait for it.
    fn is_full(&mut self, cx: &mut Context<'_>) -> bool {
        let full = &mut self.full;
        let mut is_full = || {
            full.retain(|stream| stream.is_full());
            !full.is_empty()
        };
        is_full() && self.drained.unless(cx, is_full)
    }

    /// Whether there is no memory for more of what clients do not read.
    fn is_spent(&mut self, cx: &mut Context<'_>, status: &SessionStatus) -> bool {
        let unread = &status.limits.unread;
        if !unread.is_spent() {
            self.freed = None;
            return false;
        }
        let freed = self.freed.get_or_insert_with(|| Wake::new(&unread.freed));
        freed.unless(cx, || unread.is_spent())
    }

    /// Counts the streams that have something to come as blocked, or none any more where none is blocked now.
    fn block(&mut self, now: Option<Instant>, streams: &mut StreamTable, status: &SessionStatus) {
        if now.is_none() && !self.blocking {
            return;
        }
        self.blocking = now.is_some();
        let mut news = false;
        for entry in streams.values_mut() {
            news |= entry.block(now.is_some_and(|now| entry.is_owed(now)));
        }
        if news {
            status.limits.unread.blocked.notify_waiters();
        }
    }
}
