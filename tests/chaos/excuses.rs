//! When which connections may break: while, and right after, what is known to break them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::schedule::{App, Trouble};

/// From the end of a session until the program has noticed it; a connection that comes in between may be written to it. The
/// news is there within milliseconds; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(2);

/// The same behind a black hole: what is broken is noticed by the next ping, which comes within 5 s (PROTOCOL §8).
const PINGED: Duration = Duration::from_secs(8);

/// For pods that go in order, one after the other: their starts, their graces and what still lies in buffers.
const GONE: Duration = Duration::from_secs(8);

/// Before an event is heard of, what it tells of has happened.
const TOLD: Duration = Duration::from_millis(500);

/// A target none of whose pods could be reached: its connections are refused, not held (DESIGN §2).
const LOST: &str = "target lost";

/// What a connection is to a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// One request, which is over before anything that goes in order ends it.
    Short,
    /// One that a pod ends with itself, however gently it goes.
    Long,
}

/// Which connections a trouble may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Nobody,
    /// Those of an app that take long.
    Long(App),
    /// Those of an app.
    App(App),
    /// Those of an app, which are refused.
    Refused(App),
    Everybody,
}

impl Trouble {
    fn harm(self) -> Harm {
        match self {
            Self::PodDeleted(app, _)
            | Self::PodEvicted(app, _)
            | Self::RolledOut(app)
            | Self::ScaledToZero(app) => Harm::Long(app),
            Self::PodKilled(app, _) | Self::ContainerExits(app, _) | Self::SandboxRecreated(app, _) => {
                Harm::App(app)
            }
            Self::ApiAway | Self::ConnectionsReset | Self::ConnectionsClosed | Self::BlackHole => {
                Harm::Everybody
            }
            // Of these no connection is to notice anything but that it takes longer.
            Self::Unready(..)
            | Self::UpgradesRefused { .. }
            | Self::ListsRefused { .. }
            | Self::WatchExpired
            | Self::Latency { .. }
            | Self::ProcessStopped => Harm::Nobody,
        }
    }

    /// For how long from its beginning it may break what is under way.
    fn reach(self, lasts: Duration) -> Duration {
        match self {
            Self::BlackHole => lasts + PINGED,
            Self::PodDeleted(..) | Self::PodEvicted(..) | Self::RolledOut(_) | Self::ScaledToZero(_) => {
                lasts + GONE
            }
            // What comes while the server is away is held, and not broken.
            _ => NOTICED,
        }
    }
}

struct Window {
    cause: &'static str,
    harm: Harm,
    from: Instant,
    /// None as long as it is not over.
    to: Option<Instant>,
}

#[derive(Default)]
struct Inner {
    windows: Vec<Window>,
    /// Until when the process does not run: it notices nothing before.
    stopped_until: Option<Instant>,
}

/// What a connection did that broke.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) app: App,
    pub(crate) length: Length,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

/// Those of a run.
#[derive(Default)]
pub(crate) struct Excuses(Mutex<Inner>);

impl Excuses {
    /// A trouble begins now.
    pub(crate) fn open(&self, trouble: Trouble, lasts: Duration) {
        let from = Instant::now();
        let mut inner = self.0.lock();
        if trouble == Trouble::ProcessStopped {
            inner.stopped_until = Some(from + lasts);
            let open = inner.windows.iter_mut().filter_map(|window| window.to.as_mut());
            open.filter(|to| **to > from).for_each(|to| *to += lasts);
        }
        let noticed = inner.stopped_until.map_or(from, |until| until.max(from));
        let to = Some(noticed + trouble.reach(lasts));
        inner.windows.push(Window { cause: trouble.kind(), harm: trouble.harm(), from, to });
    }

    /// The process told that an app is lost, since a whole round of attempts has failed, or that it no longer is.
    pub(crate) fn lost(&self, app: App, is_lost: bool) {
        let now = Instant::now();
        let windows = &mut self.0.lock().windows;
        let mut open =
            windows.iter_mut().filter(|window| window.to.is_none() && window.harm == Harm::Refused(app));
        match open.next() {
            Some(_) if is_lost => {}
            Some(window) => window.to = Some(now),
            None if is_lost => {
                let from = now.checked_sub(TOLD).unwrap_or(now);
                windows.push(Window { cause: LOST, harm: Harm::Refused(app), from, to: None });
            }
            None => {}
        }
    }

    /// How often an app was lost, and for how long in all.
    pub(crate) fn losses(&self) -> (usize, Duration) {
        let inner = self.0.lock();
        let lost = inner.windows.iter().filter(|window| window.cause == LOST);
        let lengths = lost.map(|window| window.to.unwrap_or_else(Instant::now) - window.from);
        (lengths.clone().count(), lengths.sum())
    }

    /// What excuses that a connection broke.
    pub(crate) fn excuse(&self, life: Life) -> Option<&'static str> {
        let Life { app, length, begun, ended } = life;
        let inner = self.0.lock();
        let mut under_way = inner.windows.iter().rev();
        let excuse = under_way.find(|window| {
            window.from <= ended
                && window.to.is_none_or(|to| begun <= to)
                && match window.harm {
                    Harm::Nobody => false,
                    Harm::Long(of) => of == app && length == Length::Long,
                    Harm::App(of) | Harm::Refused(of) => of == app,
                    Harm::Everybody => true,
                }
        });
        excuse.map(|window| window.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Which;

    fn excuse(excuses: &Excuses, app: App, length: Length, begun: Instant) -> Option<&'static str> {
        excuses.excuse(Life { app, length, begun, ended: begun.max(Instant::now()) })
    }

    #[test]
    fn a_break_is_excused_by_what_can_break_it() {
        let excuses = Excuses::default();
        let begun = Instant::now();
        excuses.open(Trouble::Unready(App::Api, Which::Serving), Duration::from_secs(1));
        assert_eq!(excuse(&excuses, App::Api, Length::Long, begun), None);
        excuses.open(Trouble::RolledOut(App::Api), Duration::ZERO);
        assert_eq!(excuse(&excuses, App::Api, Length::Short, begun), None);
        assert_eq!(excuse(&excuses, App::Web, Length::Long, begun), None);
        assert_eq!(excuse(&excuses, App::Api, Length::Long, begun), Some("rollout"));
        excuses.open(Trouble::ApiAway, Duration::from_secs(9));
        assert_eq!(excuse(&excuses, App::Web, Length::Short, begun), Some("API server away"));
        assert_eq!(excuse(&excuses, App::Web, Length::Short, Instant::now() + NOTICED), None);
    }

    #[test]
    fn a_process_that_is_stopped_notices_later() {
        let excuses = Excuses::default();
        let far = Duration::from_secs(60);
        let later = Instant::now() + far;
        excuses.open(Trouble::ConnectionsReset, Duration::ZERO);
        assert_eq!(excuse(&excuses, App::Web, Length::Short, later), None);
        excuses.open(Trouble::ProcessStopped, far);
        assert_eq!(excuse(&excuses, App::Web, Length::Short, later), Some("all connections reset"));
        excuses.open(Trouble::PodKilled(App::Api, Which::Serving), Duration::ZERO);
        assert_eq!(excuse(&excuses, App::Api, Length::Short, later), Some("pod deleted by force"));
    }

    #[test]
    fn while_an_app_is_lost_its_connections_are_refused() {
        let excuses = Excuses::default();
        excuses.lost(App::Api, false);
        excuses.lost(App::Api, true);
        excuses.lost(App::Api, true);
        let later = Instant::now() + Duration::from_secs(9);
        assert_eq!(excuse(&excuses, App::Web, Length::Short, later), None);
        assert_eq!(excuse(&excuses, App::Api, Length::Short, later), Some(LOST));
        excuses.lost(App::Api, false);
        assert_eq!(excuse(&excuses, App::Api, Length::Short, later), None);
        assert_eq!(excuses.losses().0, 1);
    }
}
