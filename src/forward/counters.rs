//! What the connections of one forward count. Of no meaning to memory order, and nothing waits for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    model::forward::{ByteCounts, ConnectionCounts},
    tunnel::stream::Gauge,
};

#[derive(Default)]
pub(super) struct Counters {
    total: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    held: AtomicU64,
    /// Connections that wait because another client does not read.
    pub(super) blocked: Gauge,
    retried: AtomicU64,
    inbound: AtomicU64,
    outbound: AtomicU64,
}

/// Undoes, when dropped, what was counted: however a connection's task ends.
pub(super) struct CountGuard<F: Fn()>(F);

impl<F: Fn()> Drop for CountGuard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Counters {
    /// A connection, open for as long as this is held.
    pub(super) fn open(&self) -> CountGuard<impl Fn()> {
        self.total.fetch_add(1, Relaxed);
        CountGuard(|| _ = self.ended.fetch_add(1, Relaxed))
    }

    /// A connection that waits for a pod, for as long as this is held.
    pub(super) fn hold(&self) -> CountGuard<impl Fn()> {
        self.held.fetch_add(1, Relaxed);
        CountGuard(|| _ = self.held.fetch_sub(1, Relaxed))
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    /// Bytes from the pod that a client took.
    pub(super) fn inbound(&self, bytes: usize) {
        self.inbound.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes for the pod that a client gave.
    pub(super) fn outbound(&self, bytes: usize) {
        self.outbound.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn connections(&self) -> ConnectionCounts {
        // In this order: what ends between the two reads must not make it negative.
        let ended = self.ended.load(Relaxed);
        let total = self.total.load(Relaxed);
        ConnectionCounts {
            open: total.saturating_sub(ended),
            total,
            failed: self.failed.load(Relaxed),
            held: self.held.load(Relaxed),
            blocked: self.blocked.load(Relaxed) as u64,
            retried: self.retried.load(Relaxed),
        }
    }

    pub(super) fn bytes(&self) -> ByteCounts {
        ByteCounts { inbound: self.inbound.load(Relaxed), outbound: self.outbound.load(Relaxed) }
    }
}
