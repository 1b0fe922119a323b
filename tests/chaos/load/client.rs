//! What every client has: a port, a number generator, and somewhere to tell what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::tally::{Flaw, Tally};
use crate::excuses::{Length, Life};
use crate::schedule::App;

/// How long anything may take. What waits longest is held for 30 s, on a session that dies after 15 s of silence.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What explains a failure may be heard of a little later than the failure.
const HEARD: Duration = Duration::from_secs(1);

/// How busy clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// With hardly a pause.
    Brisk,
    /// With pauses, for hours.
    Steady,
}

/// One client.
pub(crate) struct Client {
    pub(super) name: String,
    pub(super) app: App,
    pub(super) port: u16,
    pub(super) tally: Arc<Tally>,
    pub(super) rng: Rng,
    pace: Pace,
    pub(super) stop: CancellationToken,
    answers: Arc<AtomicU64>,
}

/// What a client waits for.
pub(super) struct Wait {
    begun: Instant,
    /// Since when its connection may have broken.
    since: Instant,
    id: Option<u64>,
    /// Answers of all until then, if nothing went wrong then.
    before: Option<u64>,
}

impl Wait {
    /// On a connection that is older.
    pub(super) fn since(self, opened: &Self) -> Self {
        Self { since: opened.begun, ..self }
    }
}

impl Client {
    pub(super) fn new(
        name: String,
        app: App,
        port: u16,
        tally: &Arc<Tally>,
        rng: Rng,
        pace: Pace,
        stop: CancellationToken,
    ) -> Self {
        Self { name, app, port, tally: Arc::clone(tally), rng, pace, stop, answers: Arc::default() }
    }

    /// Has its answers counted: it is one of those that nobody may hold up.
    pub(super) fn counted(mut self) -> Self {
        self.answers = self.tally.join();
        self
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// A pause of so many milliseconds at most; shorter where the run ends.
    pub(super) async fn pause(&mut self, most: u64) {
        let most = if self.pace == Pace::Brisk { most } else { 10 * most };
        let pause = Duration::from_millis(self.rng.u64(1..=most));
        self.stop.run_until_cancelled(sleep(pause)).await;
    }

    pub(super) fn wait(&self, id: Option<u64>) -> Wait {
        let before = self.tally.calm.load(Relaxed).then(|| self.tally.requests());
        let begun = Instant::now();
        Wait { begun, since: begun, id, before }
    }

    /// One request, or what is like one; whether it went right.
    pub(super) async fn request(
        &self,
        wait: &Wait,
        length: Length,
        work: impl Future<Output = Result<(), Flaw>>,
    ) -> bool {
        let went_right = self.try_to(wait, length, work).await;
        if went_right {
            self.tally.request(wait.begun);
            self.answers.fetch_add(1, Relaxed);
            if let Some(before) = wait.before {
                self.tally.overtaken(self.tally.requests() - before);
            }
        }
        went_right
    }

    /// Anything that has to go right, unless there is a cause.
    pub(super) async fn try_to(
        &self,
        wait: &Wait,
        length: Length,
        work: impl Future<Output = Result<(), Flaw>>,
    ) -> bool {
        let outcome = timeout(PATIENCE, work).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Flaw::Broke(format!("no end within {PATIENCE:?}"))));
        if let Err(flaw) = &outcome {
            let life = Life { app: self.app, length, begun: wait.since, ended: Instant::now() };
            sleep(HEARD).await;
            self.tally.flaw(&self.name, life, wait.id, flaw);
        }
        outcome.is_ok()
    }
}
