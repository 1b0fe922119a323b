//! A row: one failure, what is promised of it, and how it is brought about.
//!
//! ```ignore
//! pub(crate) const ROWS: &[Row] = &[
//!     Row::new("a pod is deleted", |scene| Box::pin(deleted(scene)))
//!         .says(&["svc/api: pod A is terminating, new connections go to B"])
//!         .events(&["retargeted"])
//!         .long(&[Long::Closed]),
//! ];
//!
//! async fn deleted(scene: &mut Scene) -> Test {
//!     scene.begin_now();
//!     scene.sandbox().delete("pod", "default", scene.first())?;
//!     let first = scene.first().to_owned();
//!     scene.answered("another pod", |pod| pod != first).await
//! }
//! ```
//!
//! The function does what the failure is and waits until the forward answers again; before it begins a forward works, requests
//! are made without pause, each on a connection of its own, and one connection stays open and sends bytes to and fro.
//! [`Scene::begin_now`] sets the clock to the moment from which recovery is possible, and [`Scene::answered`] stops it. The
//! function also runs with kubectl in the forward's place, for the document: [`Scene::says`] then waits for nothing, and an
//! answer is waited for only for a while.
//!
//! After that the runner waits until every line and every event that the row names was there, sees that the forward's state is
//! `active` and that its exit status is 0, and compares all that was said with what the row says. A row goes into the `ROWS` of a
//! file of its part, and such a file into `GROUPS` in `main.rs`.

use std::pin::Pin;

use sandbox::support::Test;
use sandbox::{Options, Sandbox};

use crate::scene::Scene;

/// What a row does.
pub(crate) type Play = for<'s> fn(&'s mut Scene) -> Pin<Box<dyn Future<Output = Test> + Send + 's>>;

/// What it does to the cluster before the forward is started.
pub(crate) type Prepare = for<'s> fn(&'s Sandbox) -> Pin<Box<dyn Future<Output = Test> + Send + 's>>;

/// Rows about one thing.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) rows: &'static [Row],
}

/// One failure.
pub(crate) struct Row {
    /// What fails; the first column of the document.
    pub(crate) name: &'static str,
    /// What is typed behind `kubectl fwd`, and behind `kubectl port-forward`. The remote port has to be HTTP.
    pub(crate) line: &'static str,
    pub(crate) options: fn() -> Options,
    pub(crate) prepare: Option<Prepare>,
    pub(crate) play: Play,
    /// The lines on stderr, as [`crate::words::fit`] has it.
    pub(crate) says: &'static [&'static str],
    /// The events of the forward by name, likewise.
    pub(crate) events: &'static [&'static str],
    pub(crate) lost: Lost,
    /// How the connection that stays open may come out of it.
    pub(crate) long: &'static [Long],
}

/// Which requests may fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// None.
    None,
    /// Those that were under way when it happened: one of each client at most.
    UnderWay,
    /// Those that are made while nothing can answer, too.
    Meanwhile,
}

/// What became of the connection that was open all along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Long {
    /// It goes on.
    Whole,
    /// It was closed between two answers, as an application closes it.
    Closed,
    /// It was reset.
    Reset,
    /// It was closed in the midst of an answer.
    Cut,
}

impl Row {
    /// A failure of `svc/api :80` on the usual cluster of which clients notice nothing.
    pub(crate) const fn new(name: &'static str, play: Play) -> Self {
        Self {
            name,
            line: "svc/api :80",
            options: Options::default,
            prepare: None,
            play,
            says: &[],
            events: &[],
            lost: Lost::None,
            long: &[Long::Whole],
        }
    }

    /// What is forwarded, and with which flags.
    pub(crate) const fn line(mut self, line: &'static str) -> Self {
        self.line = line;
        self
    }

    /// The cluster.
    pub(crate) const fn on(mut self, options: fn() -> Options) -> Self {
        self.options = options;
        self
    }

    /// What is done to the cluster before the forward is started.
    pub(crate) const fn after(mut self, prepare: Prepare) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// The lines on stderr.
    pub(crate) const fn says(mut self, lines: &'static [&'static str]) -> Self {
        self.says = lines;
        self
    }

    /// The events, by name.
    pub(crate) const fn events(mut self, names: &'static [&'static str]) -> Self {
        self.events = names;
        self
    }

    /// Which requests may fail.
    pub(crate) const fn lost(mut self, lost: Lost) -> Self {
        self.lost = lost;
        self
    }

    /// How the connection that stays open may come out of it.
    pub(crate) const fn long(mut self, long: &'static [Long]) -> Self {
        self.long = long;
        self
    }
}
