//! What is waited for, told once the wait is long.
//!
//! A server, a credential plugin or a list may be slow, or never answer. A quick answer is not worth a word; a program
//! that is silent for longer looks as if it hung, so what it waits for is named then. Who has more to show than lines is
//! shown all waits as they are ([`WaitNotifier::waits`]).

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How often what is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many looks a wait may last before it is told, and how many there are between what is told of it. Three seconds are
/// about when a person begins to wonder.
const LOOKS_BEFORE_NOTICE: u32 = 3;

/// For how long the same words are not told again: the targets of one group wait for the same server.
const SAME: Duration = Duration::from_secs(30);

/// Tells of long waits. Clones tell the same people.
#[derive(Clone)]
pub struct WaitNotifier {
    shared: Arc<NotifierInner>,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What for: `connecting to https://…`.
    pub what: String,
    /// Since when.
    pub since: Instant,
    /// Who may use the terminal meanwhile.
    pub user: TerminalUser,
}

/// Who may use the terminal during a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalUser {
    /// This program.
    Us,
    /// A credential plugin, which may ask for a password there.
    Plugin,
}

struct NotifierInner {
    notify: Box<dyn Fn(String) + Send + Sync>,
    waits: watch::Sender<Vec<(u64, Wait)>>,
    last: Mutex<Option<(String, Instant)>>,
}

impl WaitNotifier {
    /// Calls `notify` with a line for a person: `still connecting to https://…`.
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(NotifierInner {
                notify: Box::new(tell),
                waits: watch::Sender::default(),
                last: Mutex::default(),
            }),
        }
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Waits for `work`. `what` completes "still" (`connecting to https://…`); it is asked again and again, so that each
    /// step that takes long is told.
    // No `async fn`: its future would have `work` once more.
    pub fn watch<T>(
        &self,
        what: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = T> {
        self.watch_used_by(TerminalUser::Us, what, work)
    }

    /// The same where somebody may use the terminal meanwhile.
    pub async fn watch_used_by<T>(
        &self,
        user: TerminalUser,
        what: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let shown = self.begin(Wait { what: what(), since: Instant::now(), user });
        let (mut told, mut looks) = (None, 0u32);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep(LOOK_EVERY) => {}
            }
            looks = looks.wrapping_add(1);
            let now = what();
            shown.update(&now);
            if looks.is_multiple_of(LOOKS_BEFORE_NOTICE) && told.as_ref() != Some(&now) {
                self.notify(&now);
                told = Some(now);
            }
        }
    }

    /// What is waited for at every moment.
    pub fn waits(&self) -> WaitReceiver {
        WaitReceiver(self.shared.waits.subscribe())
    }

    fn begin(&self, wait: Wait) -> ShownWait<'_> {
        let waits = &self.shared.waits;
        let mut id = 0;
        waits.send_modify(|waits| {
            id = waits.last().map_or(0, |(last, _)| last + 1);
            waits.push((id, wait));
        });
        ShownWait { waits, id }
    }

    fn notify(&self, what: &str) {
        let mut last = self.shared.last.lock();
        if last.as_ref().is_some_and(|(words, at)| words == what && at.elapsed() < SAME) {
            return;
        }
        *last = Some((what.to_owned(), Instant::now()));
        drop(last);
        (self.shared.notify)(format!("still {what}"));
    }
}

/// A wait that is shown for as long as this is there.
struct ShownWait<'a> {
    waits: &'a watch::Sender<Vec<(u64, Wait)>>,
    id: u64,
}

impl ShownWait<'_> {
    fn update(&self, what: &str) {
        self.waits.send_if_modified(|waits| {
            let own = waits.iter_mut().find(|(id, wait)| *id == self.id && wait.what != what);
            own.map(|(_, wait)| what.clone_into(&mut wait.what)).is_some()
        });
    }
}

impl Drop for ShownWait<'_> {
    fn drop(&mut self) {
        self.waits.send_modify(|waits| waits.retain(|(id, _)| *id != self.id));
    }
}

/// Follows what is waited for.
pub struct WaitReceiver(watch::Receiver<Vec<(u64, Wait)>>);

impl WaitReceiver {
    /// What is waited for now, the oldest first.
    pub fn now(&mut self) -> Vec<Wait> {
        self.0.borrow_and_update().iter().map(|(_, wait)| wait.clone()).collect()
    }

    /// Waits until that has changed.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // There will be no more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    /// How long a wait may be before it is told.
    const NOTICE_AFTER: Duration = Duration::from_secs(3);

    use super::*;

    fn recorded() -> (WaitNotifier, Arc<Mutex<Vec<String>>>) {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let records = Arc::clone(&told);
        (WaitNotifier::new(move |line| records.lock().push(line)), told)
    }

    #[tokio::test(start_paused = true)]
    async fn each_long_step_is_told_once() {
        let (notifier, told) = recorded();
        let step = Cell::new("connecting");
        let work = async {
            sleep(NOTICE_AFTER * 3).await;
            step.set("reading");
            sleep(NOTICE_AFTER * 3).await;
            7
        };
        assert_eq!(notifier.watch(|| step.get().to_owned(), work).await, 7);
        assert_eq!(*told.lock(), ["still connecting", "still reading"]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_are_shown_while_they_last() {
        let (notifier, _) = recorded();
        let mut waits = notifier.waits();
        let step = Cell::new("a");
        let work = async {
            sleep(NOTICE_AFTER).await;
            step.set("b");
            sleep(LOOK_EVERY * 2).await;
        };
        let other = notifier.watch_used_by(TerminalUser::Plugin, || "plugin".to_owned(), sleep(NOTICE_AFTER));
        let watching = async {
            let mut seen = Vec::new();
            while seen.last().is_none_or(|last: &String| !last.is_empty()) {
                waits.changed().await;
                seen.push(waits.now().into_iter().map(|wait| wait.what).collect::<Vec<_>>().join(" "));
            }
            // Which of two things at one moment comes first does not matter.
            seen.retain(|seen| seen != "b plugin" && seen != "a");
            seen
        };
        let watched = notifier.watch(|| step.get().to_owned(), work);
        let (seen, (), ()) = tokio::join!(watching, watched, other);
        assert_eq!(seen, ["a plugin", "b", ""]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_is_not_told_nor_what_others_told_already() {
        let (notifier, told) = recorded();
        let waits = |length| notifier.watch(|| "connecting".to_owned(), sleep(length));
        waits(NOTICE_AFTER / 2).await;
        assert!(told.lock().is_empty());
        tokio::join!(waits(NOTICE_AFTER * 2), waits(NOTICE_AFTER * 2));
        assert_eq!(told.lock().len(), 1);
        sleep(SAME).await;
        waits(NOTICE_AFTER * 2).await;
        assert_eq!(told.lock().len(), 2);
    }
}
