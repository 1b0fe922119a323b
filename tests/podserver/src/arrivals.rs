//! Which requests have reached an application, for tests that ask whether one came twice, or not at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The requests that bear an id (`?id=N`), of all applications that share this. It outlives them.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// How often each came.
    times: Mutex<HashMap<u64, u32>>,
    twice: AtomicU64,
}

impl Arrivals {
    pub(super) fn arrived(&self, id: u64) {
        let mut all = self.times.lock();
        let times = all.entry(id).or_default();
        *times += 1;
        if *times == 2 {
            self.twice.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a request has come so far.
    pub fn times(&self, id: u64) -> u32 {
        self.times.lock().get(&id).copied().unwrap_or_default()
    }

    /// How many have come more than once.
    pub fn twice(&self) -> u64 {
        self.twice.load(Ordering::Relaxed)
    }
}
