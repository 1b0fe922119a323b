//! The sessions to one pod.
//!
//! One session would do, were it not for what SPDY as spoken here lacks: flow control. A client that stops reading
//! stops its whole session (PROTOCOL §0.7), and one bulk download shares its pipe with everybody's small answers. So
//! connections are spread: a new one takes an idle session where there is one, and one is kept *warm* ahead of need, so
//! that nobody waits for a dial. Where none is idle the least loaded is shared and another dialled in the background,
//! up to `MAX_SESSIONS`. A session that a stalled or bulk stream has is *busy* and gets no new streams while there is
//! any other way.
//!
//! Sessions come and go unseen. The pool is over only when its last session is.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, interval},
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    dial::Dialer,
    session::{Session, SessionEnd},
    stream::Stream,
};
use crate::model::endpoint::PodId;

/// Sessions to one pod at a time. A browser opens six connections to a host; beyond eight, each session costs the
/// cluster a TLS connection and two goroutines a hop for little more.
const MAX_SESSIONS: usize = 8;

/// After a failed dial of a further session, no other is tried for this long: what there is serves as well.
const DIAL_PAUSE: Duration = Duration::from_secs(5);

/// How often idle sessions are looked at, and how many looks in a row one may be idle: an extra session is closed after
/// a minute.
const LOOK: Duration = Duration::from_secs(15);
const IDLE_LOOKS: u32 = 4;

/// The sessions to one pod. Clones share them.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Dialer,
    pod: PodId,
    state: Mutex<State>,
    /// A session was added, could not be, or ended.
    changed: Notify,
    /// Ends the pool's own tasks with it.
    gone: DropGuard,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// A session is being dialled in the background.
    dialling: bool,
    /// No further session is dialled until then.
    no_dial_until: Option<Instant>,
    /// Why the last session that ended did.
    why: String,
}

struct Slot {
    session: Session,
    /// Looks in a row that found it idle.
    idle: u32,
}

/// What to do with a new connection.
enum Choice {
    Take(Session),
    /// Every session is busy, and another is on its way.
    Wait,
    /// No session is left.
    Over,
}

impl Pool {
    /// A pool that begins with `first`. Its care runs on the dialler's tracker, for as long as anybody holds the pool.
    pub(super) fn new(dialer: Dialer, pod: PodId, first: &Session) -> Self {
        let state = Mutex::new(State::default());
        let inner = Arc::new(Inner {
            dialer,
            pod,
            state,
            changed: Notify::new(),
            gone: CancellationToken::new().drop_guard(),
        });
        inner.add(first);
        let (weak, gone) = (Arc::downgrade(&inner), inner.gone());
        inner.dialer.tracker().spawn(async move { gone.run_until_cancelled(care(weak)).await });
        inner.dial_another();
        Self { inner }
    }

    /// Opens a connection to `port` of the pod. Where the pool is over, the stream tells that it is lost.
    pub async fn open(&self, port: u16) -> Option<Stream> {
        loop {
            let changed = self.inner.changed.notified();
            match self.inner.choose() {
                Choice::Take(session) => return Some(session.open(port)),
                Choice::Wait => changed.await,
                Choice::Over => return None,
            }
        }
    }

    /// Waits until no session is left, and tells why the last one ended.
    pub async fn closed(&self) -> String {
        loop {
            let changed = self.inner.changed.notified();
            {
                let state = self.inner.lock();
                if !state.dialling && state.slots.iter().all(|slot| slot.session.is_closed()) {
                    return state.why.clone();
                }
            }
            changed.await;
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Picks a session for a new connection, and sees to it that the next one finds one as well.
    fn choose(self: &Arc<Self>) -> Choice {
        let (choice, another) = {
            let mut state = self.lock();
            state.slots.retain(|slot| !slot.session.is_closed());
            let paused = state.no_dial_until.is_some_and(|until| Instant::now() < until);
            let room = state.slots.len() < MAX_SESSIONS && !paused;
            let mut idle = state.slots.iter().filter(|slot| slot.session.streams() == 0);
            if let Some(slot) = idle.next() {
                (Choice::Take(slot.session.clone()), room && idle.next().is_none())
            } else {
                let free = state.slots.iter().filter(|slot| !slot.session.is_busy());
                let least = |slots: &mut dyn Iterator<Item = &Slot>| {
                    slots.min_by_key(|slot| slot.session.streams()).map(|slot| slot.session.clone())
                };
                let choice = match least(&mut free.into_iter()) {
                    Some(session) => Choice::Take(session),
                    None if state.slots.is_empty() && !state.dialling => Choice::Over,
                    None if room => Choice::Wait,
                    None => least(&mut state.slots.iter()).map_or(Choice::Over, Choice::Take),
                };
                let another = room && !matches!(choice, Choice::Over);
                (choice, another)
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
        let (weak, dialer, pod) = (Arc::downgrade(self), self.dialer.clone(), self.pod.clone());
        let gone = self.gone();
        self.dialer.tracker().spawn(async move {
            let Some(dialled) = gone.run_until_cancelled(dialer.session(&pod)).await else { return };
            let Some(inner) = weak.upgrade() else { return };
            match dialled {
                Ok(session) => inner.add(&session),
                Err(error) => {
                    // Those who wait share what there is.
                    inner.lock().no_dial_until = Some(Instant::now() + DIAL_PAUSE);
                    tracing::debug!(pod = %pod.name, why = %error.why, "no further session");
                }
            }
            inner.lock().dialling = false;
            inner.changed.notify_waiters();
        });
    }

    /// Cancelled with the pool.
    fn gone(&self) -> CancellationToken {
        self.gone.token().clone()
    }

    /// Takes a session in, and notices its end.
    fn add(self: &Arc<Self>, session: &Session) {
        self.lock().slots.push(Slot { session: session.clone(), idle: 0 });
        let inner = Arc::downgrade(self);
        let end = session.end();
        self.dialer.tracker().spawn(async move {
            let end = end.wait().await;
            if let Some(inner) = inner.upgrade() {
                if end == SessionEnd::Abandoned {
                    inner.dial_another();
                }
                inner.lock().why = end.to_string();
                inner.changed.notify_waiters();
            }
        });
    }

    /// Closes sessions that were idle for long, but one.
    fn look(&self) {
        let mut state = self.lock();
        let mut spare = false;
        state.slots.retain_mut(|slot| {
            slot.idle = if slot.session.streams() == 0 { slot.idle + 1 } else { 0 };
            let keep = slot.idle < IDLE_LOOKS || !spare;
            spare |= slot.idle > 0;
            keep
        });
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
