//! The sessions to one pod.
//!
//! One session would do, were it not for what SPDY as spoken here lacks: flow control. A client that stops reading
//! stops its whole session (PROTOCOL §0.7), and one bulk download shares its pipe with everybody's small answers. So a
//! connection gets a session of its own while there is room, and where it has to share, does so with those that it risks
//! least by ([`crate::policy::placement`]).
//!
//! Some sessions are dialled *ahead of need*, so that most connections wait for no dial: as many are idle as were lately in
//! use together, and two at least. Idle ones are closed after a minute, all but one. A connection that finds none waits for a
//! dial; those are made in parallel, within the limits of the process ([`super::limits`]).
//!
//! Connections whose client has closed are no load: the runtime holds on to them for a while (PROTOCOL §3.4), and
//! requests that merely follow one another would take a session each.
//!
//! # What a client that stops reading costs
//!
//! Its session, which no connection comes to until it reads again. In memory, what may wait for a client
//! ([`super::stream`]: 512 KiB, and one read of 32 KiB), and the kernel's buffers on the way, as with any connection. Those
//! that share its session, if any do, get what comes for them as long as there is memory for what comes before it: 32 MiB for
//! the process. Then they wait until it reads or goes, and are counted meanwhile.
//!
//! # What an application that stops reading costs
//!
//! No session: each of the peer's queues is sent no more than it holds (`crate::spdy::credit`). In memory, the two
//! buffers of each of its connections (64 KiB each); what its clients still want to say stays with them.
//!
//! Sessions come and go unseen. The pool is over only when its last session is.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::{Instant, interval, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    dump::{MAX_SESSIONS_TOLD, TunnelDump},
    end::SessionEnd,
    error::DialError,
    limits::Limits,
    session::Session,
    status::SessionWatch,
    stream::{Gauge, Stream},
};
use crate::policy::placement::{
    DIAL_PATIENCE, DialState, Load, OWN_SESSIONS, Occupancy, Placement, PlacementContext, place,
};

/// Idle sessions that a pool in use has at least: one for the next connection, and one for the one that comes while a dial
/// makes up for the first.
const SPARES: usize = 2;

/// Idle sessions that are dialled ahead of need at most, however many were in use together.
const MAX_SPARES: usize = 16;

/// After a failed dial of a further session, no other is tried for this long: what there is serves as well.
const DIAL_PAUSE: Duration = Duration::from_secs(5);

/// How long a pool whose sessions are all gone waits for one that is being dialled. A dial that goes well takes a few
/// round trips; with one that hangs, it is quicker to begin anew.
const LAST_DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How often idle sessions are looked at, and how many looks in a row one may be idle: an extra session is closed after
/// a minute.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(15);
const MAX_IDLE_CHECKS: u32 = 4;

/// Makes one more session to the pod.
pub(super) type DialFn = Box<dyn Fn() -> BoxFuture<'static, Result<Session, DialError>> + Send + Sync>;

/// The sessions to one pod. Clones share them.
#[derive(Clone)]
pub struct SessionPool {
    pub(super) inner: Arc<PoolInner>,
}

pub(super) struct PoolInner {
    dial: DialFn,
    pub(super) limits: Arc<Limits>,
    tracker: TaskTracker,
    pub(super) state: Mutex<PoolState>,
    /// A session has ended, or a dial has.
    ended: Notify,
    /// See [`SessionPool::proven`].
    proven: CancellationToken,
    /// Ends the pool's own tasks with it.
    gone: DropGuard,
}

#[derive(Default)]
pub(super) struct PoolState {
    pub(super) slots: Vec<PooledSession>,
    /// When the dials that are under way were begun. [`PendingDial`] takes its own back.
    dials: Vec<Instant>,
    /// Connections that wait, and those of them that wait for a dial. [`Waiting`] takes its own back.
    waiting: usize,
    wanting: usize,
    /// Connections that were lately open together.
    peak: usize,
    /// It was told to be over while a dial was under way, and stays so.
    over: bool,
    /// Another pod is used instead: while its sessions are silent, nobody waits for them and none is dialled.
    pub(super) deserted: bool,
    /// No further session is dialled until then.
    no_dial_until: Option<Instant>,
    /// Why there is no session, should there be none.
    why: String,
}

pub(super) struct PooledSession {
    pub(super) session: Session,
    /// Looks in a row that found it idle.
    idle: u32,
}

/// What becomes of a new connection.
enum OpenDecision {
    Opened(Stream),
    /// It waits, no longer than this, and perhaps for a dial.
    Wait {
        dial: bool,
        at_most: Duration,
    },
    /// No session is left.
    Over,
}

impl PoolState {
    /// Forgets sessions that ended.
    fn sweep(&mut self) {
        // One that ends as soon as it is there would be dialled again without pause.
        let in_vain =
            |PooledSession { session, .. }: &PooledSession| session.is_closed() && !session.is_proven();
        if self.slots.iter().any(in_vain) {
            self.pause();
        }
        self.slots.retain(|PooledSession { session, .. }| !session.is_closed());
    }

    fn pause(&mut self) {
        self.no_dial_until = Some(Instant::now() + DIAL_PAUSE);
    }

    fn occupancies(&self) -> impl Iterator<Item = Occupancy> {
        self.slots.iter().map(|slot| slot.session.occupancy())
    }

    /// Connections that are open.
    fn streams(&self) -> usize {
        self.slots.iter().map(|slot| slot.session.streams()).sum()
    }

    /// Dials that may still go well. One that takes longer most likely hangs, and is not counted on.
    fn dials(&self) -> usize {
        self.dials.iter().filter(|begun| begun.elapsed() < DIAL_PATIENCE).count()
    }

    fn dial_state(&self, limits: &Limits) -> DialState {
        match self.no_dial_until {
            Some(until) if Instant::now() < until => DialState::BackingOff,
            _ if limits.sessions.available_permits() == 0 && self.dials() == 0 => DialState::LimitReached,
            _ => DialState::Allowed,
        }
    }

    /// Dials that are wanting: for those who wait for one, and ahead of need.
    fn missing(&self, limits: &Limits) -> usize {
        let idle = self.occupancies().filter(|session| session.load == Load::Idle).count();
        let spares = self.peak.saturating_sub(self.streams()).clamp(SPARES, MAX_SPARES);
        let ahead = if limits.are_half_taken() { 0 } else { OWN_SESSIONS.saturating_sub(self.slots.len()) };
        (self.wanting + spares.min(idle + ahead)).saturating_sub(idle + self.dials())
    }
}

impl SessionPool {
    /// A pool that begins with `first`. Its care runs on `tracker`, for as long as anybody holds the pool.
    pub(super) fn new(dial: DialFn, limits: &Arc<Limits>, tracker: TaskTracker, first: &Session) -> Self {
        let state = Mutex::new(PoolState::default());
        let gone = CancellationToken::new().drop_guard();
        let (limits, ended, proven) = (Arc::clone(limits), Notify::new(), CancellationToken::new());
        let inner = Arc::new(PoolInner { dial, limits, tracker, state, ended, proven, gone });
        inner.add(first, None);
        let (weak, gone) = (Arc::downgrade(&inner), inner.gone());
        let limits = Arc::clone(&inner.limits);
        inner.tracker.spawn(async move { gone.run_until_cancelled(maintain(weak, &limits)).await });
        inner.dial_missing();
        Self { inner }
    }

    /// Opens a connection to `port` of the pod. While it waits for another's client `blocked` counts it. `None` where
    /// the pool is over. Cancel-safe.
    pub async fn open(&self, port: u16, blocked: &Gauge) -> Option<Stream> {
        let begun = Instant::now();
        let mut waiting = None;
        loop {
            let freed = self.inner.limits.freed.notified();
            match self.inner.choose(port, blocked, begun.elapsed(), waiting.is_some()) {
                OpenDecision::Opened(stream) => {
                    drop(waiting);
                    // The next one is to find a session as well.
                    self.inner.dial_missing();
                    return Some(stream);
                }
                OpenDecision::Over => return None,
                OpenDecision::Wait { dial, at_most } => {
                    waiting.get_or_insert_with(|| Waiting::new(&self.inner)).wants(dial);
                    self.inner.dial_missing();
                    // However it ends, all is looked at again.
                    let _ = timeout(at_most, freed).await;
                }
            }
        }
    }

    /// How it is now.
    pub(super) fn dump(&self) -> TunnelDump {
        let state = self.inner.state.lock();
        let sessions =
            state.slots.iter().take(MAX_SESSIONS_TOLD).map(|slot| slot.session.status.dump()).collect();
        let (count, dials, waiting) = (state.slots.len(), state.dials.len(), state.waiting);
        TunnelDump::Sessions { sessions, count, dials, waiting }
    }

    /// Waits until one of its sessions has shown that it works ([`SessionWatch::proven`]).
    pub async fn proven(&self) {
        self.inner.proven.cancelled().await;
    }

    /// Whether one has.
    pub fn is_proven(&self) -> bool {
        self.inner.proven.is_cancelled()
            || self.inner.state.lock().slots.iter().any(|slot| slot.session.is_proven())
    }

    /// Waits until no session is left, and tells why. One that is being dialled is waited for, but not for long.
    pub async fn closed(&self) -> String {
        loop {
            let ended = self.inner.ended.notified();
            let is_last = {
                let state = self.inner.state.lock();
                let none = state.slots.iter().all(|slot| slot.session.is_closed());
                if state.over || none && state.dials.is_empty() {
                    return state.why.clone();
                }
                none
            };
            if !is_last {
                ended.await;
            } else if timeout(LAST_DIAL_TIMEOUT, ended).await.is_err() {
                self.inner.state.lock().over = true;
                self.inner.changed();
            }
        }
    }
}

impl PoolInner {
    /// Wakes those who wait for the pool's end, and those who wait for a session.
    pub(super) fn changed(&self) {
        self.ended.notify_waiters();
        self.limits.freed.notify_waiters();
    }

    /// Picks a session for a new connection.
    fn choose(&self, port: u16, blocked: &Gauge, waited: Duration, waits: bool) -> OpenDecision {
        let mut state = self.state.lock();
        state.sweep();
        if state.over || state.deserted && state.silent_since().is_some() {
            return OpenDecision::Over;
        }
        if waited >= DIAL_PATIENCE && state.dials() == 0 && !state.dials.is_empty() {
            // All of them hang. Others need not find that out by waiting as well.
            state.pause();
        }
        let (dialing, dials) = (state.dial_state(&self.limits), state.dials.len());
        let before = if waits { 0 } else { state.waiting };
        // Looked at once: how a session is taken is asked of its driver and of the clock.
        let sessions: Vec<Occupancy> = state.occupancies().collect();
        match place(&sessions, PlacementContext { dialing, dials, waited, before }) {
            Placement::Nowhere => OpenDecision::Over,
            Placement::Wait { dial, at_most } => OpenDecision::Wait { dial, at_most },
            Placement::Take(index) => {
                // Opened under the lock: nobody else takes it for idle.
                let stream = state.slots[index].session.open(port, blocked);
                state.peak = state.peak.max(state.streams());
                OpenDecision::Opened(stream)
            }
        }
    }

    /// Counts one more dial where one is missing and the limits allow it, and gives its permit, which is for the dial alone.
    fn begin_dial(self: &Arc<Self>) -> Option<(PendingDial, OwnedSemaphorePermit)> {
        let (mut state, limits) = (self.state.lock(), &self.limits);
        if state.deserted || state.dial_state(limits) != DialState::Allowed || state.missing(limits) == 0 {
            return None;
        }
        let permit = Arc::clone(&limits.dials).try_acquire_owned().ok()?;
        let session = Some(Arc::clone(&limits.sessions).try_acquire_owned().ok()?);
        let begun = Instant::now();
        state.dials.push(begun);
        Some((PendingDial { pool: Arc::downgrade(self), begun, failed: true, session }, permit))
    }

    /// Dials in the background what is missing, as far as the limits allow.
    pub(super) fn dial_missing(self: &Arc<Self>) {
        while let Some((dialling, permit)) = self.begin_dial() {
            let gone = self.gone();
            let mut dialled = (self.dial)();
            self.tracker.spawn(gone.run_until_cancelled_owned(async move {
                let in_time = timeout(DIAL_PATIENCE, &mut dialled).await;
                // One that hangs is in nobody's way.
                drop(permit);
                dialling.finish(match in_time {
                    Ok(dialled) => dialled,
                    Err(_) => dialled.await,
                });
            }));
        }
    }

    /// Cancelled with the pool.
    fn gone(&self) -> CancellationToken {
        self.gone.token().clone()
    }

    /// Takes a session in, and notices when it has shown that it works and when it ends. `place` is held until then.
    fn add(self: &Arc<Self>, session: &Session, place: Option<OwnedSemaphorePermit>) {
        self.state.lock().slots.push(PooledSession { session: session.clone(), idle: 0 });
        let inner = Arc::downgrade(self);
        let watch = session.end();
        self.tracker.spawn(async move {
            let proven = async {
                watch.proven().await;
                if let Some(inner) = inner.upgrade() {
                    inner.proven.cancel();
                }
                std::future::pending().await
            };
            let end = tokio::select! {
                end = watch.wait() => end,
                end = proven => end,
            };
            drop(place);
            if let Some(inner) = inner.upgrade() {
                inner.ended(&watch, &end);
            }
        });
    }

    /// A session of its has ended.
    fn ended(self: &Arc<Self>, session: &SessionWatch, end: &SessionEnd) {
        if session.is_proven() {
            self.proven.cancel();
        }
        self.state.lock().why = end.to_string();
        self.changed();
    }

    /// Closes sessions that were idle for long, but one, and forgets bursts that are long past.
    fn close_idle(&self) {
        let mut state = self.state.lock();
        state.sweep();
        let streams = state.streams();
        state.peak = streams.max(state.peak - state.peak.div_ceil(4));
        let mut spare = false;
        state.slots.retain_mut(|slot| {
            slot.idle = if slot.session.streams() == 0 { slot.idle + 1 } else { 0 };
            let keep = slot.idle < MAX_IDLE_CHECKS || !spare;
            spare |= slot.idle > 0;
            keep
        });
    }
}

/// A connection that waits for a session.
struct Waiting<'a> {
    pool: &'a PoolInner,
    /// For a dial.
    wants: bool,
}

impl<'a> Waiting<'a> {
    fn new(pool: &'a PoolInner) -> Self {
        pool.state.lock().waiting += 1;
        Self { pool, wants: false }
    }

    fn wants(&mut self, dial: bool) {
        if std::mem::replace(&mut self.wants, dial) != dial {
            let mut state = self.pool.state.lock();
            state.wanting = if dial { state.wanting + 1 } else { state.wanting - 1 };
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.wants(false);
        self.pool.state.lock().waiting -= 1;
        // What was kept free for it is another's.
        self.pool.limits.freed.notify_waiters();
    }
}

/// A dial in the background. However it ends, by a panic too, those who wait look again and another may be begun.
struct PendingDial {
    pool: Weak<PoolInner>,
    begun: Instant,
    /// No session came of it.
    failed: bool,
    /// The session's place among those of the process.
    session: Option<OwnedSemaphorePermit>,
}

impl PendingDial {
    fn finish(mut self, dialled: Result<Session, DialError>) {
        let Some(inner) = self.pool.upgrade() else { return };
        match dialled {
            Ok(session) => {
                inner.add(&session, self.session.take());
                self.failed = false;
            }
            // Those who wait share what there is.
            Err(error) => tracing::debug!(why = %error.why, "no further session"),
        }
    }
}

impl Drop for PendingDial {
    fn drop(&mut self) {
        let Some(inner) = self.pool.upgrade() else { return };
        {
            let mut state = inner.state.lock();
            if let Some(own) = state.dials.iter().position(|begun| *begun == self.begun) {
                state.dials.swap_remove(own);
            }
            if self.failed {
                state.pause();
            }
        }
        inner.changed();
    }
}

/// Looks after a pool for as long as it is there.
async fn maintain(pool: Weak<PoolInner>, limits: &Limits) {
    let mut look = interval(IDLE_CHECK_INTERVAL);
    let mut disturbances = limits.disturbances();
    loop {
        let silence = limits.silence.notified();
        let what: fn(&Arc<PoolInner>) = tokio::select! {
            _ = look.tick() => |pool| pool.close_idle(),
            Ok(()) = disturbances.changed() => |pool| pool.probe(),
            () = silence => |pool| pool.replace_silent(),
        };
        match pool.upgrade() {
            Some(pool) => what(&pool),
            None => return,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "pool_model_tests.rs"]
mod model_tests;
