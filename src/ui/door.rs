//! The one door to stdout and stderr while forwards run.
//!
//! A terminal that is paused (Ctrl-S), or a pipe that nobody reads, blocks whoever writes to it. So a thread of its own
//! writes, and the rest of the program only hands lines over: it never waits, and a line too many is counted and left
//! out. A closed stream (a script that read its `Forwarding from` line and went on) ends the writing to that stream and
//! nothing else.

use std::{
    io::{self, Write},
    sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    thread,
    time::Duration,
};

/// Lines that may wait for a slow terminal.
const WAITING: usize = 1024;

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

enum Item {
    Line(Stream, String),
    /// Answered once everything before it is written.
    Mark(SyncSender<()>),
}

/// Hands lines over.
#[derive(Debug)]
pub struct Door {
    lines: SyncSender<Item>,
    done: mpsc::Receiver<()>,
    left_out: u64,
}

impl Door {
    /// To the process's own streams.
    pub fn open() -> io::Result<Self> {
        Self::to(io::stdout(), io::stderr())
    }

    /// To any two.
    pub fn to(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(WAITING);
        let (finished, done) = mpsc::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let (mut out, mut err) = (Writer::new(out), Writer::new(err));
            for item in waiting {
                match item {
                    Item::Line(Stream::Out, text) => out.line(&text),
                    Item::Line(Stream::Err, text) => err.line(&text),
                    Item::Mark(reached) => _ = reached.try_send(()),
                }
            }
            // Nobody listens any more where the process did not want to wait.
            let _ = finished.send(());
        })?;
        Ok(Self { lines, done, left_out: 0 })
    }

    /// Hands one line over, without its line break. Never waits.
    pub fn say(&mut self, stream: Stream, text: String) {
        if self.left_out > 0 {
            let count = format!("({} lines were left out)", self.left_out);
            if self.lines.try_send(Item::Line(Stream::Err, count)).is_ok() {
                self.left_out = 0;
            }
        }
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Item::Line(stream, text)) {
            self.left_out += 1;
        }
    }

    /// Waits until what was said so far is written, at most this long.
    pub fn settle(&self, at_most: Duration) {
        let (reached, reaches) = mpsc::sync_channel(1);
        if self.lines.try_send(Item::Mark(reached)).is_ok() {
            let _ = reaches.recv_timeout(at_most);
        }
    }

    /// Waits until everything is written, at most this long. Says whether it is.
    pub fn close(self, at_most: Duration) -> bool {
        drop(self.lines);
        !matches!(self.done.recv_timeout(at_most), Err(RecvTimeoutError::Timeout))
    }
}

/// A stream, until it is closed by its reader.
struct Writer<W> {
    to: Option<W>,
}

impl<W: Write> Writer<W> {
    fn new(to: W) -> Self {
        Self { to: Some(to) }
    }

    fn line(&mut self, text: &str) {
        let Some(to) = &mut self.to else { return };
        // One write a line: others may write to the same terminal.
        let line = format!("{text}\n");
        if to.write_all(line.as_bytes()).and_then(|()| to.flush()).is_err() {
            self.to = None;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A stream whose lines can be looked at, or a closed one.
    #[derive(Clone, Default)]
    pub(crate) struct Seen {
        text: Arc<Mutex<Vec<u8>>>,
        closed: bool,
    }

    impl Seen {
        pub(crate) fn closed() -> Self {
            Self { closed: true, ..Self::default() }
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.text.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_closed_stdout_closes_nothing_else() {
        let err = Seen::default();
        let mut door = Door::to(Seen::closed(), err.clone()).unwrap();
        door.say(Stream::Out, "Forwarding".into());
        door.say(Stream::Err, "one".into());
        door.say(Stream::Out, "Forwarding".into());
        door.say(Stream::Err, "two".into());
        door.settle(SOON);
        assert_eq!(err.text(), "one\ntwo\n");
        assert!(door.close(SOON));
        assert_eq!(err.text(), "one\ntwo\n");
    }

    /// A paused terminal: every write waits for a permit.
    struct Paused(mpsc::Receiver<()>);

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_paused_terminal_holds_nobody_up() {
        let (permit, permits) = mpsc::channel();
        let mut door = Door::to(Paused(permits), Seen::default()).unwrap();
        for _ in 0..WAITING + 10 {
            door.say(Stream::Out, "x".into());
        }
        // One line is being written, the others wait.
        assert!(door.left_out >= 9);
        assert!(!door.close(Duration::ZERO));
        drop(permit);
    }
}
