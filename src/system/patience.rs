//! Waiting for what may never come: with a word for whoever waits, and with an end.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// When a wait is told, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After this long whoever waits is told what for.
    pub word: Duration,
    /// After this long it is over.
    pub most: Duration,
}

/// A person begins to wonder after some seconds.
pub const WORD: Duration = Duration::from_secs(3);

impl Patience {
    /// With a word after [`WORD`], and an end after `most`.
    pub const fn of(most: Duration) -> Self {
        Self { word: WORD, most }
    }

    /// Does `work` on a thread of its own and waits for it, `say`ing so when that takes long. `None` where it never
    /// came to an end: the thread is left behind, for nothing can end a read that hangs in the system.
    pub fn wait_for<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
        say: impl FnOnce(),
    ) -> io::Result<Option<T>> {
        let (done, result) = mpsc::channel();
        thread::Builder::new().name("waiting".to_owned()).spawn(move || done.send(work()))?;
        let late = match result.recv_timeout(self.word.min(self.most)) {
            Err(RecvTimeoutError::Timeout) if self.word < self.most => {
                say();
                result.recv_timeout(self.most.saturating_sub(self.word))
            }
            other => other,
        };
        match late {
            Ok(value) => Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("it went wrong half-way")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_and_a_word() {
        let ready =
            Patience::of(Duration::from_secs(60)).wait_for(|| 7, || panic!("there is nothing to say"));
        assert_eq!(ready.unwrap(), Some(7));
        let short = Patience { word: Duration::from_millis(1), most: Duration::from_millis(2) };
        let (mut told, (_hold, never)) = (0, mpsc::channel::<()>());
        assert_eq!(short.wait_for(move || never.recv().is_ok(), || told += 1).unwrap(), None);
        assert_eq!(told, 1);
        let patience = Patience::of(Duration::from_secs(60));
        assert!(patience.wait_for(|| panic!("on purpose"), || {}).is_err());
    }
}
