//! Waiting for what may never come: with a notice to the person who waits, and with an end.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// When a wait is told, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimit {
    /// After this long the person who waits is told what for.
    pub notice_after: Duration,
    /// After this long it is over.
    pub timeout: Duration,
}

/// A person begins to wonder after some seconds.
pub const NOTICE_AFTER: Duration = Duration::from_secs(3);

impl WaitLimit {
    /// With a word after [`NOTICE_AFTER`], and an end after `timeout`.
    pub const fn new(most: Duration) -> Self {
        Self { notice_after: NOTICE_AFTER, timeout: most }
    }

    /// Does `work` on a thread of its own and waits for it, `say`ing so when that takes long. `None` where it never
    /// came to an end: the thread is left behind, for nothing can end a read that hangs in the system.
    pub fn wait_for<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
        notify: impl FnOnce(),
    ) -> io::Result<Option<T>> {
        let (done, result) = mpsc::channel();
        thread::Builder::new().name("waiting".to_owned()).spawn(move || done.send(work()))?;
        let late = match result.recv_timeout(self.notice_after.min(self.timeout)) {
            Err(RecvTimeoutError::Timeout) if self.notice_after < self.timeout => {
                notify();
                result.recv_timeout(self.timeout.saturating_sub(self.notice_after))
            }
            other => other,
        };
        match late {
            Ok(value) => Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the read failed half-way")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_and_a_word() {
        let ready =
            WaitLimit::new(Duration::from_secs(60)).wait_for(|| 7, || panic!("there is nothing to say"));
        assert_eq!(ready.unwrap(), Some(7));
        let short = WaitLimit { notice_after: Duration::from_millis(1), timeout: Duration::from_millis(2) };
        let (mut told, (_hold, never)) = (0, mpsc::channel::<()>());
        assert_eq!(short.wait_for(move || never.recv().is_ok(), || told += 1).unwrap(), None);
        assert_eq!(told, 1);
        let patience = WaitLimit::new(Duration::from_secs(60));
        assert!(patience.wait_for(|| panic!("on purpose"), || {}).is_err());
    }
}
