//! One watched collection, as a stream of changes that survives everything.
//!
//! ```text
//! Start --list--> Listed(version) --watch--> Watching(version, stream)
//!   ^                 ^                          |
//!   |                 +-------- end, error ------+
//!   +- 410 Gone, failures in a row, silence, ----+
//!      a wish
//! ```
//!
//! kube_runtime's watcher has the same states, but says nothing when a watch stands again after a failure: only the
//! next event would show it, and that may be hours away, while this tool has to say *now* that the cluster is back: it
//! is the sign of life that a lost target waits for. Nor does it list anew while watches fail, which would leave a pod in
//! use that is long gone. The list, the events and the bookmarks themselves are kube's.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use kube::api::WatchEvent;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{
    list_watch::{self, ListWatch, Parsed, Watched},
    watch_events::WatchEvents,
};
use crate::policy::backoff::Backoff;

/// The server ends a watch after this many seconds, so that one that died in silence is not trusted for longer.
/// Starting again costs one request.
const WATCH_SECONDS: u32 = 120;

/// How much longer than that is waited for the server to do so.
const WATCH_MARGIN: Duration = Duration::from_secs(5);

/// The waits after failures in a row. Half of each is random, so that a restarted server is not met by everyone at once.
const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(15), jitter: 0.5 };

/// A watch that ends sooner than this counts as failed even if it ended well: a proxy may cut each of them at once.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// Watches that fail one after the other before the list is read again, and again after each further one: the first may
/// be a server that restarts, and then the watch goes on where it was.
const FAILURES: u32 = 3;

/// The list is read again after any failure of a watch where nothing was heard of the collection for this long.
const STALE: Duration = Duration::from_secs(15);

/// How soon after a list another may follow because somebody wishes it.
const RELIST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a server may ask for (`Retry-After`).
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What happened to the collection.
#[derive(Debug)]
pub(super) enum CollectionChange<T> {
    /// This is all of it.
    Swap(Vec<T>),
    /// An object is new, or another now.
    Apply(T),
    /// An object is gone.
    Delete(T),
    /// Changes arrive (again).
    Alive,
    /// It cannot be read at the moment; it is tried again.
    Problem(String),
    /// It can be listed, and watching it fails again and again. It is listed after each failure.
    Unwatched(String),
    /// A verb is forbidden. Asking again goes on from here, so that rights granted meanwhile are noticed.
    Denied(WatchVerb, String),
}

/// What may be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchVerb {
    /// Reading the whole collection.
    List,
    /// Being told about changes.
    Watch,
}

enum WatcherState {
    /// Nothing is known. Next: `Listed`.
    Start,
    /// All is known up to this version. Next: `Watching`, or `Start` if the server has forgotten the version or watches
    /// keep failing.
    Listed(String),
    /// Changes arrive. Next: `Listed` at an end, `Start` at 410 or after a watch that told nothing.
    Watching { version: String, events: WatchEvents, since: Instant, heard: bool },
}

/// Has the collection listed anew, once something shows that what is known of it is not true any more. Clones wish of the
/// same watcher.
#[derive(Clone, Default)]
pub struct Relist(Arc<Wishes>);

#[derive(Default)]
struct Wishes {
    list: Notify,
    connect: Notify,
}

impl Relist {
    /// List it, as soon as that may be. Wishes that come before it is begun are one.
    pub fn request(&self) {
        self.0.list.notify_one();
    }

    /// Go on where it was, over another connection and at once: the present one may be dead.
    pub fn reconnect(&self) {
        self.0.connect.notify_one();
    }
}

/// A watched collection.
pub(super) struct Watcher<T> {
    /// What is watched; to be listed by hand where watching is forbidden.
    pub list_watch: ListWatch<T>,
    state: WatcherState,
    backoff: WatchBackoff,
    /// Not before this is anything asked.
    resume: Option<Instant>,
    /// The pause after a failure is not cut short before this.
    soonest: Instant,
    /// Watches that failed since one told something.
    failures: u32,
    /// When the collection was last known to be as it is told.
    known: Option<Instant>,
    relist: Relist,
}

impl<T: Watched> Watcher<T> {
    pub(in crate::cluster) fn new(list_watch: ListWatch<T>, relist: Relist) -> Self {
        let (state, pauses) = (WatcherState::Start, WatchBackoff::default());
        let soonest = Instant::now();
        Self { list_watch, state, backoff: pauses, resume: None, soonest, failures: 0, known: None, relist }
    }

    /// The next change. Never ends.
    pub(in crate::cluster) async fn next(&mut self) -> CollectionChange<T> {
        let relist = self.relist.clone();
        loop {
            tokio::select! {
                biased;
                // Without a pause before it the list is being read.
                () = relist.0.list.notified(), if self.resume.is_some() || !matches!(self.state, WatcherState::Start) => {
                    self.hurry();
                }
                () = relist.0.connect.notified() => self.reconnect(),
                change = self.step() => if let Some(change) = change {
                    return change;
                }
            }
        }
    }

    /// Has the list read as soon as that may be; it may be asked for again and again. A pause after failures is cut short,
    /// for whoever asks has had an answer from the server, unless the server itself wants the pause.
    fn hurry(&mut self) {
        let listed = self.known.map(|at| at + RELIST_PAUSE);
        if let (WatcherState::Start, Some(paused)) = (&self.state, self.resume) {
            let soonest = listed.map_or(self.soonest, |at| at.max(self.soonest));
            self.resume = Some(paused.min(soonest));
        } else {
            self.restart();
            self.resume = listed;
        }
    }

    /// Whether another change is there already.
    pub(super) fn has_more(&self) -> bool {
        matches!(&self.state, WatcherState::Watching { events, .. } if events.has_line())
    }

    /// One step further, which may not be a change. May be dropped half-way.
    async fn step(&mut self) -> Option<CollectionChange<T>> {
        if let Some(at) = self.resume {
            sleep_until(at).await;
            self.resume = None;
        }
        match &mut self.state {
            WatcherState::Start => {
                // What was wished before it begins is granted by it.
                let _ = self.relist.0.list.notified().now_or_never();
                match self.list_watch.list().await {
                    Ok((items, version)) => {
                        self.state = WatcherState::Listed(version);
                        self.known = Some(Instant::now());
                        Some(CollectionChange::Swap(items))
                    }
                    Err(error) => self.failed(WatchVerb::List, &error),
                }
            }
            WatcherState::Listed(version) => {
                let version = version.clone();
                match self.list_watch.watch(&version, WATCH_SECONDS).await {
                    Ok(body) => {
                        let (events, since) = (WatchEvents::new(body), Instant::now());
                        self.state = WatcherState::Watching { version, events, since, heard: false };
                        Some(CollectionChange::Alive)
                    }
                    Err(error) => self.failed(WatchVerb::Watch, &error),
                }
            }
            WatcherState::Watching { events, .. } => {
                let silence = Duration::from_secs(WATCH_SECONDS.into()) + WATCH_MARGIN;
                let Ok(event) = timeout(silence, events.next()).await else {
                    // It should have ended; what it would have told is not known.
                    self.state = WatcherState::Start;
                    return None;
                };
                self.event(event)
            }
        }
    }

    /// Takes one event of a watch, or its end.
    fn event(&mut self, event: Option<kube::Result<WatchEvent<Parsed<T>>>>) -> Option<CollectionChange<T>> {
        let WatcherState::Watching { version, since, heard, .. } = &mut self.state else { return None };
        // One that tells a little and breaks, again and again, is met with growing pauses.
        let lasts = since.elapsed() >= SHORT_WATCH;
        if matches!(event, Some(Ok(_))) {
            *heard = true;
            self.known = Some(Instant::now());
            if lasts {
                self.failures = 0;
                self.backoff.reset();
            }
        }
        match event {
            Some(Ok(WatchEvent::Added(Parsed(object)) | WatchEvent::Modified(Parsed(object)))) => {
                *version = list_watch::version(object.version());
                Some(CollectionChange::Apply(object))
            }
            Some(Ok(WatchEvent::Deleted(Parsed(object)))) => {
                *version = list_watch::version(object.version());
                Some(CollectionChange::Delete(object))
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                *version = list_watch::version(Some(bookmark.metadata.resource_version));
                None
            }
            Some(Ok(WatchEvent::Error(status))) => self.failed(WatchVerb::Watch, &kube::Error::Api(status)),
            Some(Err(error)) => self.failed(WatchVerb::Watch, &error),
            None => {
                let (version, heard) = (std::mem::take(version), *heard);
                if lasts {
                    self.backoff.reset();
                    self.failures = 0;
                } else {
                    self.resume = Some(Instant::now() + self.backoff.next());
                    self.failures = self.failures.saturating_add(1);
                }
                // One that told nothing may be deaf.
                self.state = if heard && self.failures < FAILURES {
                    WatcherState::Listed(version)
                } else {
                    WatcherState::Start
                };
                None
            }
        }
    }

    /// Decides where to go on after a failure, and what to say about it.
    fn failed(&mut self, verb: WatchVerb, error: &kube::Error) -> Option<CollectionChange<T>> {
        let (code, after) = match error {
            kube::Error::Api(status) => (status.code, crate::cluster::error::reason::retry_after(status)),
            _ => (0, 0),
        };
        let version = match std::mem::replace(&mut self.state, WatcherState::Start) {
            WatcherState::Start => None,
            WatcherState::Listed(version) => Some(version),
            WatcherState::Watching { version, since, .. } => {
                if since.elapsed() >= STALE {
                    self.failures = 0;
                }
                self.known = Some(Instant::now());
                Some(version)
            }
        };
        let after = Duration::from_secs(after.into()).min(LONGEST_RETRY_AFTER);
        let now = Instant::now();
        self.soonest = now + RELIST_PAUSE.max(after);
        self.resume = Some(now + self.backoff.next().max(after));
        let why = crate::cluster::error::reason::reason(error);
        tracing::debug!(?verb, why, "a collection cannot be read");
        // The server has forgotten the version: nothing is wrong, the list is read again.
        if code == 410 {
            return None;
        }
        if code == 403 {
            self.state = version.map_or(WatcherState::Start, WatcherState::Listed);
            return Some(CollectionChange::Denied(verb, why));
        }
        if verb == WatchVerb::List {
            return Some(CollectionChange::Problem(why));
        }
        self.failures = self.failures.saturating_add(1);
        let known = self.known.is_some_and(|at| at.elapsed() < STALE);
        if self.failures < FAILURES && known {
            self.state = version.map_or(WatcherState::Start, WatcherState::Listed);
        }
        // From then on a list between any two of them shows what there is.
        if self.failures > FAILURES {
            Some(CollectionChange::Unwatched(why))
        } else {
            Some(CollectionChange::Problem(why))
        }
    }

    /// Begins a new request, whatever it waits for.
    fn reconnect(&mut self) {
        self.resume = self.resume.map(|_| self.soonest);
        self.backoff.reset();
        if let WatcherState::Watching { version, .. } = &mut self.state {
            self.state = WatcherState::Listed(std::mem::take(version));
        }
    }

    /// From now on, the list is read anew before anything else.
    pub(super) fn restart(&mut self) {
        self.state = WatcherState::Start;
        self.resume = None;
    }
}

/// Pauses that grow with the failures in a row.
#[derive(Debug, Default)]
pub(super) struct WatchBackoff {
    failures: u32,
}

impl WatchBackoff {
    /// The pause after one more failure.
    pub(in crate::cluster) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        PAUSES.wait(self.failures, fastrand::f64())
    }

    /// All is well again.
    pub(in crate::cluster) fn reset(&mut self) {
        self.failures = 0;
    }
}
