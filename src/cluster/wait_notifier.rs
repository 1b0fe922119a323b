//! What is waited for, told once the wait is long.
//!
//! A server, a credential plugin or a list may be slow, or never answer. A quick answer is not worth a word; a program
//! that is silent for longer looks as if it hung, so what it waits for is named then.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// How long a wait may be before it is told, and how often what is waited for is looked at from then on. About when a
/// person begins to wonder.
pub const NOTICE_AFTER: Duration = Duration::from_secs(3);

/// For how long the same words are not told again: the targets of one group wait for the same server.
const SAME: Duration = Duration::from_secs(30);

/// Tells of long waits. Clones tell the same people.
#[derive(Clone)]
pub struct WaitNotifier {
    shared: Arc<NotifierInner>,
}

struct NotifierInner {
    notify: Box<dyn Fn(String) + Send + Sync>,
    last: Mutex<Option<(String, Instant)>>,
}

impl WaitNotifier {
    /// Calls `notify` with a line for a person: `still connecting to https://…`.
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(NotifierInner { notify: Box::new(tell), last: Mutex::default() }) }
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Waits for `work`. `what` completes "still" (`connecting to https://…`); it is asked once the wait is
    /// [`NOTICE_AFTER`], and from then on again, so that each step that takes long is told.
    pub async fn watch<T>(&self, what: impl Fn() -> String, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut told = None;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep(NOTICE_AFTER) => {
                    let now = what();
                    if told.as_ref() != Some(&now) {
                        self.notify(&now);
                        told = Some(now);
                    }
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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
