//! What others see of a session's driver.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    dump::{PingDump, SessionDump},
    end::SessionEnd,
    limits::Limits,
};
use crate::policy::placement::{Load, REST, STALLED};

/// What the handles see of the driver.
#[derive(Debug)]
pub(super) struct SessionStatus {
    pub(super) closed: CancellationToken,
    pub(super) why: OnceLock<SessionEnd>,
    /// See [`SessionWatch::proven`].
    pub(super) proven: CancellationToken,
    pub(super) since: Instant,
    /// Wakes the driver when a stream whose client was behind has room again.
    pub(super) drained: Arc<Notify>,
    pub(super) limits: Arc<Limits>,
    /// Streams whose clients have more to say.
    streams: AtomicUsize,
    /// A transfer has it, or more than the peer takes.
    bulk: AtomicBool,
    /// Streams on which an answer is due, or more of a transfer may be.
    owed: AtomicUsize,
    /// When something last moved, in milliseconds after `since`.
    active: AtomicU64,
    /// When a client's backlog stopped the reading, in milliseconds after `since`, plus one; 0 while none does.
    full: AtomicU64,
    /// When a byte came last, in milliseconds after `since`.
    heard: AtomicU64,
    /// What the driver noted when it pinged last.
    pinged: Mutex<PingDump>,
    /// Since when its peer is silent, in milliseconds after `since`, plus one; 0 while it is not.
    silent: AtomicU64,
}

impl Default for SessionStatus {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl SessionStatus {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            closed: CancellationToken::new(),
            why: OnceLock::new(),
            proven: CancellationToken::new(),
            since: Instant::now(),
            drained: Arc::new(Notify::new()),
            limits,
            streams: AtomicUsize::new(0),
            bulk: AtomicBool::new(false),
            owed: AtomicUsize::new(0),
            active: AtomicU64::new(0),
            full: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            pinged: Mutex::default(),
            silent: AtomicU64::new(0),
        }
    }

    /// Notes that the peer has fallen silent, or speaks again.
    pub(super) fn set_silent(&self, silent: bool) {
        tracing::debug!(silent, "a session's peer");
        self.silent.store(if silent { self.milliseconds() + 1 } else { 0 }, Ordering::Relaxed);
        self.limits.silence.notify_waiters();
        if !silent {
            self.limits.freed.notify_waiters();
        }
    }

    /// Since when its peer is silent, while it is.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let after = self.silent.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.since + Duration::from_millis(after))
    }

    /// How many streams are open whose clients have more to say.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Counts one more of them, for as long as what is returned is held.
    pub(super) fn count(self: &Arc<Self>) -> Counted {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.moved();
        Counted(Arc::clone(self))
    }

    /// Notes that something moves.
    pub(super) fn moved(&self) {
        self.active.store(self.milliseconds(), Ordering::Relaxed);
    }

    /// Notes that bytes came.
    pub(super) fn heard(&self) {
        self.heard.store(self.milliseconds(), Ordering::Relaxed);
    }

    /// Notes how things are at a ping.
    pub(super) fn pinged(&self, now: PingDump) {
        *self.pinged.lock() = now;
    }

    /// All of it, for a report.
    pub(super) fn dump(&self) -> SessionDump {
        let now = self.milliseconds();
        let ago = |at: &AtomicU64| Duration::from_millis(now.saturating_sub(at.load(Ordering::Relaxed)));
        SessionDump {
            age: self.since.elapsed(),
            load: self.load(),
            streams: self.streams(),
            owed: self.owed.load(Ordering::Relaxed),
            silent: ago(&self.heard),
            rested: ago(&self.active),
            pinged: *self.pinged.lock(),
        }
    }

    /// Notes how the driver's streams do: whether some move much, on how many something may be due, and whether one is
    /// full.
    pub(super) fn note(&self, bulk: bool, owed: usize, full: bool) {
        self.bulk.store(bulk, Ordering::Relaxed);
        self.owed.store(owed, Ordering::Relaxed);
        if !full {
            self.full.store(0, Ordering::Relaxed);
        } else if self.full.load(Ordering::Relaxed) == 0 {
            self.full.store(self.milliseconds() + 1, Ordering::Relaxed);
        }
    }

    /// What a newcomer would share it with. The clock is asked only where it matters, for many are looked at at once.
    pub(super) fn load(&self) -> Load {
        let past = |since: u64, limit: Duration| {
            u128::from(self.milliseconds().saturating_sub(since)) >= limit.as_millis()
        };
        if self.silent.load(Ordering::Relaxed) > 0 {
            return Load::Silent;
        }
        match self.full.load(Ordering::Relaxed) {
            0 => {}
            full if past(full - 1, STALLED) => return Load::Stalled,
            _ => return Load::Bulk,
        }
        if self.bulk.load(Ordering::Relaxed) {
            Load::Bulk
        } else if self.streams() == 0 {
            Load::Idle
        } else if self.owed.load(Ordering::Relaxed) > 0 || !past(self.active.load(Ordering::Relaxed), REST) {
            Load::Active
        } else {
            Load::Resting
        }
    }

    fn milliseconds(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }
}

/// One stream of a session's load.
#[derive(Debug)]
pub(super) struct Counted(Arc<SessionStatus>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.limits.freed.notify_waiters();
    }
}

/// Waits for a session's end.
#[derive(Debug)]
pub struct SessionWatch(pub(super) Arc<SessionStatus>);

impl SessionWatch {
    /// Waits for the end and tells why.
    pub async fn wait(&self) -> SessionEnd {
        self.0.closed.cancelled().await;
        self.0.why.get().cloned().unwrap_or(SessionEnd::Panicked)
    }

    /// Waits until it has shown that it works: an application's words came over it, or those of the runtime about one, or
    /// its peer still speaks after a while. Until then a 101 is all there was.
    pub async fn proven(&self) {
        self.0.proven.cancelled().await;
    }

    /// Whether it has.
    pub fn is_proven(&self) -> bool {
        self.0.proven.is_cancelled()
    }
}
