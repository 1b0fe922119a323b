//! What an application got, for tests that ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use super::arrivals::Arrivals;

/// What the application on one port of one pod has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, still open.
    pub open: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Bytes read.
    pub received: u64,
    /// Bytes written.
    pub sent: u64,
}

/// The running counts, and the bell that rings when one changes.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// How often each id was asked for.
    ids: Mutex<HashMap<String, u64>>,
    changed: Notify,
    arrivals: Arc<Arrivals>,
}

impl Counts {
    /// Counts that note the ids of requests beside those of other applications.
    pub fn noting(arrivals: Arc<Arrivals>) -> Self {
        Self { arrivals, ..Self::default() }
    }

    pub(super) fn arrived(&self, id: u64) {
        self.arrivals.arrived(id);
    }

    pub(super) fn opened(&self) {
        self.add(&self.connections, 1);
    }

    pub(super) fn closed(&self) {
        self.add(&self.closed, 1);
    }

    pub(super) fn requested(&self) {
        self.add(&self.requests, 1);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.add(&self.received, bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.add(&self.sent, bytes as u64);
    }

    /// Counts a request of this id, and says how many there were with it.
    pub(super) fn asked_for(&self, id: &str) -> u64 {
        let mut ids = self.ids.lock();
        let times = ids.entry(id.to_owned()).or_default();
        *times += 1;
        *times
    }

    fn add(&self, count: &AtomicU64, by: u64) {
        count.fetch_add(by, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// What has been counted so far.
    pub fn snapshot(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Closed before opened: a connection that comes between the two must not make `open` negative.
        let closed = read(&self.closed);
        let connections = read(&self.connections);
        Stats {
            connections,
            open: connections - closed,
            requests: read(&self.requests),
            received: read(&self.received),
            sent: read(&self.sent),
        }
    }

    /// Resolves at the first snapshot that is `enough`.
    pub async fn wait(&self, enough: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.snapshot();
            if enough(&now) {
                return now;
            }
            changed.await;
        }
    }
}
