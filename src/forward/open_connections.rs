//! The open connections of a forward, for a report of a bug: how old they are, what they carried, what each waits for.
//!
//! A connection's task writes what it does to atomics of its own, and reads nothing here. The lock is taken when a
//! connection begins and ends, and by who asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Connections that are told of one forward: the oldest. More of the same tell nothing new.
const MAX_CONNECTIONS_TOLD: usize = 20;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WaitsFor {
    /// For a pod.
    Pod,
    /// For a session to the pod.
    Session,
    /// For the answer to what its client sent last.
    Answer,
    /// For room at the pod for what its client sends.
    Room,
    /// For its client, which does not take what came.
    Client,
    /// For the end: its client sends no more.
    End,
    /// For whatever either side says next.
    Anything,
}

const ALL: [WaitsFor; 7] = [
    WaitsFor::Pod,
    WaitsFor::Session,
    WaitsFor::Answer,
    WaitsFor::Room,
    WaitsFor::Client,
    WaitsFor::End,
    WaitsFor::Anything,
];

/// What others see of a connection.
#[derive(Debug)]
pub(super) struct ConnectionProgress {
    begun: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    waits: AtomicU8,
}

/// A connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionDump {
    /// Since it was accepted.
    pub age: Duration,
    /// Bytes that its client has sent.
    pub sent: u64,
    /// Bytes that its client has taken.
    pub received: u64,
    /// What it waits for.
    pub waits: WaitsFor,
}

impl ConnectionProgress {
    fn new() -> Self {
        let waits = AtomicU8::new(WaitsFor::Pod as u8);
        Self { begun: Instant::now(), sent: AtomicU64::new(0), received: AtomicU64::new(0), waits }
    }

    /// Notes what its client has sent, and what it has taken.
    pub(super) fn moved(&self, sent: u64, received: u64) {
        self.sent.store(sent, Relaxed);
        self.received.store(received, Relaxed);
    }

    /// Notes what it waits for.
    pub(super) fn waits_for(&self, what: WaitsFor) {
        self.waits.store(what as u8, Relaxed);
    }

    fn dump(&self) -> ConnectionDump {
        let waits = ALL.get(usize::from(self.waits.load(Relaxed))).copied().unwrap_or(WaitsFor::Anything);
        ConnectionDump {
            age: self.begun.elapsed(),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            waits,
        }
    }
}

/// Those of one forward, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct OpenConnections {
    table: Mutex<ConnectionTable>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    next: u64,
    open: BTreeMap<u64, Arc<ConnectionProgress>>,
}

/// A connection that is among them for as long as this is held.
pub(super) struct OpenConnection<'a> {
    of: &'a OpenConnections,
    number: u64,
}

impl OpenConnections {
    /// Takes in one more.
    pub(super) fn add(&self) -> (OpenConnection<'_>, Arc<ConnectionProgress>) {
        let progress = Arc::new(ConnectionProgress::new());
        let mut table = self.table.lock();
        let number = table.next;
        table.next += 1;
        table.open.insert(number, Arc::clone(&progress));
        (OpenConnection { of: self, number }, progress)
    }

    /// The oldest of them, as many as are told.
    pub(super) fn dump(&self) -> Vec<ConnectionDump> {
        // Counted under the lock, and looked at without it.
        let oldest: Vec<_> = self.table.lock().open.values().take(MAX_CONNECTIONS_TOLD).cloned().collect();
        oldest.iter().map(|progress| progress.dump()).collect()
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.of.table.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_are_told() {
        let all = OpenConnections::default();
        let (first, progress) = all.add();
        progress.moved(3, 4);
        for waits in ALL {
            progress.waits_for(waits);
            assert_eq!(all.dump()[0].waits, waits);
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        let others: Vec<_> = (0..MAX_CONNECTIONS_TOLD + 5).map(|_| all.add()).collect();
        let told = all.dump();
        assert_eq!(told.len(), MAX_CONNECTIONS_TOLD);
        assert_eq!((told[0].age, told[0].sent, told[0].received), (Duration::from_secs(2), 3, 4));
        assert_eq!((told[1].age, told[1].waits), (Duration::ZERO, WaitsFor::Pod));
        drop(first);
        assert_eq!(all.dump()[0].age, Duration::ZERO);
        drop(others);
        assert!(all.dump().is_empty());
    }
}
