//! One of the five queues between a session's reader and its workers (PROTOCOL §2.7).
//!
//! It holds 50 frames in the order (priority, arrival). A push onto a full queue waits, and with it the one reader: then
//! no frame of any stream is handled.

use parking_lot::Mutex;
use std::collections::BTreeMap;

use tokio::sync::{Notify, Semaphore};

/// PROTOCOL §2.7.
pub(super) const CAPACITY: usize = 50;

/// A bounded queue with one reader and one writer.
pub(super) struct Queue<T> {
    items: Mutex<Items<T>>,
    room: Semaphore,
    filled: Notify,
}

struct Items<T> {
    ordered: BTreeMap<(u8, u64), T>,
    arrived: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            items: Mutex::new(Items { ordered: BTreeMap::new(), arrived: 0 }),
            room: Semaphore::new(CAPACITY),
            filled: Notify::new(),
        }
    }

    /// Adds an item; waits for room.
    pub(super) async fn push(&self, priority: u8, item: T) {
        // The semaphore is never closed.
        if let Ok(room) = self.room.acquire().await {
            room.forget();
        }
        let mut items = self.items.lock();
        let arrived = items.arrived;
        items.arrived += 1;
        items.ordered.insert((priority, arrived), item);
        drop(items);
        self.filled.notify_one();
    }

    /// Takes the first item; waits for one.
    pub(super) async fn pop(&self) -> T {
        loop {
            let first = self.items.lock().ordered.pop_first();
            if let Some((_, item)) = first {
                self.room.add_permits(1);
                return item;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn order_is_by_priority_and_then_by_arrival() {
        let queue = Queue::new();
        for (priority, item) in [(7, 'c'), (0, 'a'), (0, 'b')] {
            queue.push(priority, item).now_or_never().unwrap();
        }
        let order: String = (0..3).map(|_| queue.pop().now_or_never().unwrap()).collect();
        assert_eq!(order, "abc");
    }

    #[test]
    fn a_full_queue_blocks() {
        let queue = Queue::new();
        for item in 0..CAPACITY {
            queue.push(0, item).now_or_never().unwrap();
        }
        assert!(queue.push(0, 50).now_or_never().is_none());
        queue.pop().now_or_never().unwrap();
        assert!(queue.push(0, 51).now_or_never().is_some());
    }
}
