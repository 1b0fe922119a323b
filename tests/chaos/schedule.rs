//! What goes wrong, and when: a function of the seed and the time there is.
//!
//! Two lanes run side by side, so that a pod may fail while the API server is away; within a lane one trouble follows the
//! other. Each lane deals its troubles like cards, so that none is met twice before all of them are met once.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// Whose pods the load goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// A deployment behind a service.
    Api,
    /// A deployment.
    Web,
    /// A StatefulSet, of which one pod is named.
    Db,
}

const APPS: [App; 3] = [App::Api, App::Web, App::Db];

/// Which pod of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that answered last.
    Serving,
    /// Any of those that are ready.
    Any(usize),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    PodDeleted(App, Which),
    PodKilled(App, Which),
    PodEvicted(App, Which),
    ContainerExits(App, Which),
    SandboxRecreated(App, Which),
    Unready(App, Which),
    RolledOut(App),
    ScaledToZero(App),
    ApiAway,
    ConnectionsReset,
    ConnectionsClosed,
    UpgradesRefused { status: u16, times: u32 },
    ListsRefused { status: u16, times: u32 },
    WatchExpired,
    BlackHole,
    Latency { ms: u64 },
    ProcessStopped,
}

/// A trouble in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it begins, counted from the start.
    pub(crate) at: Duration,
    /// How long it lasts; nothing for what is over as it happens.
    pub(crate) lasts: Duration,
    pub(crate) trouble: Trouble,
}

/// How close one trouble follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// At once, nearly.
    Wild,
    /// After a while, as on a bad day.
    Mild,
}

impl Mood {
    /// Milliseconds from the end of a trouble to the next in its lane.
    fn pause(self) -> RangeInclusive<u64> {
        match self {
            Self::Wild => 200..=1_500,
            Self::Mild => 5_000..=15_000,
        }
    }
}

/// All that goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// What happens to pods.
    pub(crate) pods: Vec<Step>,
    /// What happens to the API server, the network and the process itself.
    pub(crate) network: Vec<Step>,
}

impl Schedule {
    /// What goes wrong within `time`; all of it is over by then.
    pub(crate) fn new(seed: u64, time: Duration, mood: Mood) -> Self {
        // A lane's draws do not depend on how many the other takes.
        let mut rng = Rng::with_seed(seed);
        let (mut pods, mut network) = (rng.fork(), rng.fork());
        Self {
            pods: lane(&mut pods, time, mood, pods_deck),
            network: lane(&mut network, time, mood, network_deck),
        }
    }
}

/// The steps of a lane, whose cards `deck` gives.
fn lane(rng: &mut Rng, time: Duration, mood: Mood, deck: fn(&mut Rng) -> Vec<Trouble>) -> Vec<Step> {
    let (mut steps, mut cards, mut at) = (Vec::new(), Vec::new(), Duration::ZERO);
    loop {
        if cards.is_empty() {
            cards = deck(rng);
            rng.shuffle(&mut cards);
        }
        at += Duration::from_millis(rng.u64(mood.pause()));
        let Some(trouble) = cards.pop() else { return steps };
        let lasts = Duration::from_millis(rng.u64(trouble.length()));
        if at + lasts > time {
            return steps;
        }
        steps.push(Step { at, lasts, trouble });
        at += lasts;
    }
}

fn pods_deck(rng: &mut Rng) -> Vec<Trouble> {
    let mut app = || APPS[rng.usize(..APPS.len())];
    let apps: [App; 8] = std::array::from_fn(|_| app());
    let mut which = || if rng.bool() { Which::Serving } else { Which::Any(rng.usize(..6)) };
    vec![
        Trouble::PodDeleted(apps[0], which()),
        Trouble::PodKilled(apps[1], which()),
        Trouble::PodEvicted(apps[2], which()),
        Trouble::ContainerExits(apps[3], which()),
        Trouble::SandboxRecreated(apps[4], which()),
        Trouble::Unready(apps[5], which()),
        Trouble::RolledOut(apps[6]),
        Trouble::ScaledToZero(apps[7]),
    ]
}

fn network_deck(rng: &mut Rng) -> Vec<Trouble> {
    // So few that a round of attempts still gets through.
    let mut refusal = || ([429, 500, 503][rng.usize(..3)], rng.u32(1..=4));
    let (upgrades, lists) = (refusal(), refusal());
    vec![
        Trouble::ApiAway,
        Trouble::ConnectionsReset,
        Trouble::ConnectionsClosed,
        Trouble::UpgradesRefused { status: upgrades.0, times: upgrades.1 },
        Trouble::ListsRefused { status: lists.0, times: lists.1 },
        Trouble::WatchExpired,
        Trouble::BlackHole,
        Trouble::Latency { ms: rng.u64(1..=40) },
        Trouble::ProcessStopped,
    ]
}

impl Trouble {
    /// How many milliseconds it lasts.
    fn length(self) -> RangeInclusive<u64> {
        match self {
            // Within a round of attempts, which is 2.6 s long at least: connections are held, not refused.
            Self::ApiAway => 100..=2_000,
            Self::BlackHole => 1_000..=4_000,
            Self::Unready(..)
            | Self::ScaledToZero(_)
            | Self::ProcessStopped
            | Self::UpgradesRefused { .. }
            | Self::ListsRefused { .. } => 500..=3_000,
            Self::Latency { .. } => 1_000..=3_000,
            _ => 0..=0,
        }
    }

    /// Its kind, for counting.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::PodDeleted(..) => "pod deleted",
            Self::PodKilled(..) => "pod deleted by force",
            Self::PodEvicted(..) => "pod evicted",
            Self::ContainerExits(..) => "container exits",
            Self::SandboxRecreated(..) => "pod sandbox re-created",
            Self::Unready(..) => "pod not ready",
            Self::RolledOut(_) => "rollout",
            Self::ScaledToZero(_) => "scaled to 0",
            Self::ApiAway => "API server away",
            Self::ConnectionsReset => "all connections reset",
            Self::ConnectionsClosed => "all connections closed",
            Self::UpgradesRefused { .. } => "upgrades refused",
            Self::ListsRefused { .. } => "lists refused",
            Self::WatchExpired => "watch 410",
            Self::BlackHole => "black hole",
            Self::Latency { .. } => "latency",
            Self::ProcessStopped => "process stopped",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::PodDeleted(app, which)
            | Self::PodKilled(app, which)
            | Self::PodEvicted(app, which)
            | Self::ContainerExits(app, which)
            | Self::SandboxRecreated(app, which)
            | Self::Unready(app, which) => write!(f, ", {app:?} {which:?}"),
            Self::RolledOut(app) | Self::ScaledToZero(app) => write!(f, ", {app:?}"),
            Self::UpgradesRefused { status, times } | Self::ListsRefused { status, times } => {
                write!(f, ", {times} times {status}")
            }
            Self::Latency { ms } => write!(f, ", {ms} ms each way"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_a_function_of_the_seed() {
        for seed in 0..100 {
            let first = Schedule::new(seed, MINUTE, Mood::Wild);
            assert_eq!(first, Schedule::new(seed, MINUTE, Mood::Wild));
            assert_ne!(first, Schedule::new(seed + 1, MINUTE, Mood::Wild));
        }
    }

    #[test]
    fn in_a_minute_everything_happens_and_is_over() {
        let kinds = |steps: &[Step]| steps.iter().map(|step| step.trouble.kind()).collect::<BTreeSet<_>>();
        for seed in 0..100 {
            let Schedule { pods, network } = Schedule::new(seed, MINUTE, Mood::Wild);
            assert_eq!((kinds(&pods).len(), kinds(&network).len()), (8, 9), "seed {seed}");
            for lane in [pods, network] {
                assert!(lane.windows(2).all(|two| two[0].at + two[0].lasts < two[1].at), "seed {seed}");
                assert!(lane.iter().all(|step| step.at + step.lasts <= MINUTE), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one() {
        let (long, short) = (Schedule::new(7, 2 * MINUTE, Mood::Wild), Schedule::new(7, MINUTE, Mood::Wild));
        // The last of the short one may be missing from it, since it would not be over.
        assert!(long.pods.starts_with(&short.pods) && long.network.starts_with(&short.network));
    }
}
