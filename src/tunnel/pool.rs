//! The sessions to one pod.
//!
//! One session would do, were it not for what SPDY as spoken here lacks: flow control. A client that stops reading
//! stops its whole session (PROTOCOL §0.7), and one bulk download shares its pipe with everybody's small answers. So
//! connections are spread: a new one takes an idle session where there is one, and one is kept *warm* ahead of need, so
//! that nobody waits for a dial. Where none is idle the least loaded is shared and another dialled in the background,
//! up to `MAX_SESSIONS`. A session that a bulk stream has is *busy* and gets no new streams while there is any other way.
//! Connections whose client has closed are no load: the runtime holds on to them for a while (PROTOCOL §3.4), and
//! requests that merely follow one another would take all sessions.
//!
//! # What a client that stops reading costs
//!
//! Its own session, which is *retired*: it gets no new connection ever, and ends with the last one it has. The place
//! is another's: up to `MAX_RETIRED` of them are had beside the others. In memory, what may wait for a client
//! ([`super::stream`]: 4 MiB) and one read of 64 KiB; and the kernel's buffers on the way, as with any connection.
//! Those that share its session wait until it reads or goes. They are few, for a stream that has moved
//! 1 MiB gets no new company: those with which it shared before, and none as long as there are fewer connections at
//! work than sessions. With `MAX_RETIRED` and `MAX_SESSIONS` such clients at a time, a new connection waits until one of
//! them reads or goes, and is given up with `--hold`.
//!
//! # What an application that stops reading costs
//!
//! No session: each of the peer's queues is sent no more than it holds (`crate::spdy::credit`). In memory, the two
//! buffers of each of its connections (64 KiB each); what its clients still want to say stays with them.
//!
//! Sessions come and go unseen. The pool is over only when its last session is.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Notify,
    time::{Instant, interval, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{dial::DialError, end::SessionEnd, session::Session, status::SessionWatch, stream::Stream};

/// Sessions to one pod at a time, those aside that are retired. A browser opens six connections to a host; beyond
/// eight, each session costs the cluster a TLS connection and two goroutines a hop for little more.
const MAX_SESSIONS: usize = 8;

/// Sessions beside them that clients have stopped which do not read. With 4 MiB each they may cost 96 MiB.
const MAX_RETIRED: usize = 24;

/// After a failed dial of a further session, no other is tried for this long: what there is serves as well.
const DIAL_PAUSE: Duration = Duration::from_secs(5);

/// How long a pool whose sessions are all gone waits for one that is being dialled. A dial that goes well takes a few
/// round trips; with one that hangs, it is quicker to begin anew.
const LAST_DIAL: Duration = Duration::from_secs(2);

/// How often idle sessions are looked at, and how many looks in a row one may be idle: an extra session is closed after
/// a minute.
const LOOK: Duration = Duration::from_secs(15);
const IDLE_LOOKS: u32 = 4;

/// Makes one more session to the pod.
pub(super) type Dial = Box<dyn Fn() -> BoxFuture<'static, Result<Session, DialError>> + Send + Sync>;

/// The sessions to one pod. Clones share them.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Dial,
    tracker: TaskTracker,
    state: Mutex<State>,
    /// A session was added, could not be, was retired or ended.
    changed: Notify,
    /// See [`Pool::proven`].
    proven: CancellationToken,
    /// Ends the pool's own tasks with it.
    gone: DropGuard,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// Sessions that are left to those who are on them.
    retired: Vec<SessionWatch>,
    /// A session is being dialled in the background. [`Dialling`] takes it back.
    dialling: bool,
    /// It was told to be over while a dial was under way, and stays so.
    over: bool,
    /// No further session is dialled until then.
    no_dial_until: Option<Instant>,
    /// Why there is no session, should there be none.
    why: String,
}

struct Slot {
    session: Session,
    /// Looks in a row that found it idle.
    idle: u32,
}

/// What to do with a new connection.
enum Choice {
    Opened(Stream),
    /// No session may take it now, and another is on its way or may come free.
    Wait,
    /// No session is left.
    Over,
}

impl State {
    /// Forgets sessions that ended, and leaves those to themselves that are stuck; whether there were any of these.
    fn sweep(&mut self) -> bool {
        let Self { slots, retired, no_dial_until, .. } = self;
        retired.retain(|session| !session.is_over());
        // One that ends as soon as it is there would be dialled again without pause.
        let in_vain = slots.iter().any(|Slot { session, .. }| session.is_closed() && !session.is_proven());
        if in_vain {
            *no_dial_until = Some(Instant::now() + DIAL_PAUSE);
        }
        let before = retired.len();
        slots.retain(|Slot { session, .. }| {
            if session.is_closed() {
                return false;
            }
            let goes = session.is_stuck() && (retired.len() < MAX_RETIRED || session.streams() == 0);
            if goes {
                retired.push(session.end());
            }
            !goes
        });
        retired.len() > before
    }

    /// Sessions that new connections may come to.
    fn usable(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().map(|slot| &slot.session).filter(|session| !session.is_stuck())
    }

    /// Those of them that nobody is on.
    fn idle(&self) -> impl Iterator<Item = &Session> {
        self.usable().filter(|session| session.streams() == 0 && !session.is_busy())
    }

    fn may_dial(&self) -> bool {
        let paused = self.no_dial_until.is_some_and(|until| Instant::now() < until);
        self.slots.len() < MAX_SESSIONS && !paused
    }
}

impl Pool {
    /// A pool that begins with `first`. Its care runs on `tracker`, for as long as anybody holds the pool.
    pub(super) fn new(dial: Dial, tracker: TaskTracker, first: &Session) -> Self {
        let state = Mutex::new(State::default());
        let gone = CancellationToken::new().drop_guard();
        let (changed, proven) = (Notify::new(), CancellationToken::new());
        let inner = Arc::new(Inner { dial, tracker, state, changed, proven, gone });
        inner.add(first);
        let (weak, gone) = (Arc::downgrade(&inner), inner.gone());
        inner.tracker.spawn(async move { gone.run_until_cancelled(care(weak)).await });
        inner.dial_another();
        Self { inner }
    }

    /// Opens a connection to `port` of the pod. `None` where the pool is over. Cancel-safe.
    pub async fn open(&self, port: u16) -> Option<Stream> {
        loop {
            let changed = self.inner.changed.notified();
            match self.inner.choose(port) {
                Choice::Opened(stream) => return Some(stream),
                Choice::Wait => changed.await,
                Choice::Over => return None,
            }
        }
    }

    /// Waits until one of its sessions has shown that it works ([`SessionWatch::proven`]).
    pub async fn proven(&self) {
        self.inner.proven.cancelled().await;
    }

    /// Whether one has.
    pub fn is_proven(&self) -> bool {
        self.inner.proven.is_cancelled()
            || self.inner.lock().slots.iter().any(|slot| slot.session.is_proven())
    }

    /// Waits until no session is left, and tells why. One that is being dialled is waited for, but not for long.
    pub async fn closed(&self) -> String {
        loop {
            let changed = self.inner.changed.notified();
            let is_last = {
                let state = self.inner.lock();
                let none = state.slots.iter().all(|slot| slot.session.is_closed());
                if state.over || none && !state.dialling {
                    return state.why.clone();
                }
                none
            };
            if !is_last {
                changed.await;
            } else if timeout(LAST_DIAL, changed).await.is_err() {
                self.inner.lock().over = true;
                self.inner.changed.notify_waiters();
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Picks a session for a new connection, and sees to it that the next one finds one as well.
    fn choose(self: &Arc<Self>, port: u16) -> Choice {
        let (choice, another) = {
            let mut state = self.lock();
            if state.over {
                return Choice::Over;
            }
            let retired = state.sweep();
            let room = state.may_dial();
            let mut idle = state.idle();
            if let Some(session) = idle.next() {
                // Opened under the lock: nobody else takes it for idle.
                (Choice::Opened(session.open(port)), room && idle.next().is_none())
            } else {
                let least = |busy: bool| {
                    let those = state.usable().filter(|session| session.is_busy() == busy);
                    those.min_by_key(|session| session.streams()).map(|session| session.open(port))
                };
                let over = state.slots.is_empty() && !state.dialling && !retired;
                let choice = match least(false) {
                    Some(stream) => Choice::Opened(stream),
                    None if over => Choice::Over,
                    None if room => Choice::Wait,
                    None => least(true).map_or(Choice::Wait, Choice::Opened),
                };
                (choice, room && !over)
            }
        };
        if another {
            self.dial_another();
        }
        choice
    }

    /// Dials one more session in the background, unless one is being dialled.
    fn dial_another(self: &Arc<Self>) {
        if std::mem::replace(&mut self.lock().dialling, true) {
            return;
        }
        let dialling = Dialling { pool: Arc::downgrade(self), in_vain: true };
        let gone = self.gone();
        let dialled = (self.dial)();
        self.tracker.spawn(async move {
            let Some(dialled) = gone.run_until_cancelled(dialled).await else { return };
            dialling.ends(dialled);
        });
    }

    /// Cancelled with the pool.
    fn gone(&self) -> CancellationToken {
        self.gone.token().clone()
    }

    /// Takes a session in, and notices when it is stuck and when it ends.
    fn add(self: &Arc<Self>, session: &Session) {
        self.lock().slots.push(Slot { session: session.clone(), idle: 0 });
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
            let stuck = async {
                watch.stuck().await;
                if let Some(inner) = inner.upgrade() {
                    inner.retire();
                }
                std::future::pending().await
            };
            let end = tokio::select! {
                end = watch.wait() => end,
                end = proven => end,
                end = stuck => end,
            };
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
        if *end == SessionEnd::Abandoned {
            self.dial_another();
        }
        self.lock().why = end.to_string();
        self.changed.notify_waiters();
    }

    /// Leaves stuck sessions to themselves, and sees to it that there is another.
    fn retire(self: &Arc<Self>) {
        let another = {
            let mut state = self.lock();
            state.sweep() && state.may_dial() && state.idle().next().is_none()
        };
        if another {
            self.dial_another();
        }
        self.changed.notify_waiters();
    }

    /// Closes sessions that were idle for long, but one.
    fn look(&self) {
        let mut state = self.lock();
        if state.sweep() {
            self.changed.notify_waiters();
        }
        let mut spare = false;
        state.slots.retain_mut(|slot| {
            slot.idle = if slot.session.streams() == 0 { slot.idle + 1 } else { 0 };
            let keep = slot.idle < IDLE_LOOKS || !spare;
            spare |= slot.idle > 0;
            keep
        });
    }
}

/// A dial in the background. However it ends, by a panic too, those who wait look again and another may be begun.
struct Dialling {
    pool: Weak<Inner>,
    /// No session came of it.
    in_vain: bool,
}

impl Dialling {
    fn ends(mut self, dialled: Result<Session, DialError>) {
        let Some(inner) = self.pool.upgrade() else { return };
        match dialled {
            Ok(session) => {
                inner.add(&session);
                self.in_vain = false;
            }
            // Those who wait share what there is.
            Err(error) => {
                tracing::debug!(why = %error.why, "no further session");
                inner.lock().why = error.why.to_string();
            }
        }
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        let Some(inner) = self.pool.upgrade() else { return };
        {
            let mut state = inner.lock();
            state.dialling = false;
            if self.in_vain {
                state.no_dial_until = Some(Instant::now() + DIAL_PAUSE);
            }
        }
        inner.changed.notify_waiters();
    }
}

/// Looks after a pool for as long as it is there.
async fn care(pool: Weak<Inner>) {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.look(),
            None => return,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
