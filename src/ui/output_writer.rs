//! The one writer to stdout and stderr while forwards run.
//!
//! A terminal that is paused (Ctrl-S), or a pipe that nobody reads, blocks its writer. So a thread of its own
//! writes, and the rest of the program only hands lines over: it never waits, and a line too many is counted and left
//! out. A closed stream (a script that read its `Forwarding from` line and went on) ends the writing to that stream and
//! nothing else. Any other failure, a full disk, costs the lines that it hits; once writing works again they are counted
//! on stderr.

use std::{
    io::{self, Write},
    sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use super::people::PeopleOutput;
use crate::error::io_message;

/// Lines that may wait for a slow terminal.
const WAITING: usize = 1024;

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

enum OutputItem {
    Line(OutputStream, String),
    /// Answered once everything before it is written.
    Mark(SyncSender<()>),
}

/// Hands lines over.
#[derive(Debug)]
pub struct OutputWriter {
    lines: SyncSender<OutputItem>,
    done: mpsc::Receiver<()>,
    left_out: u64,
}

impl OutputWriter {
    /// To stdout, and to the output for people.
    pub fn open(people: PeopleOutput) -> io::Result<Self> {
        Self::to(io::stdout(), people)
    }

    /// To any two.
    pub fn to(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(WAITING);
        let (finished, done) = mpsc::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let (mut out, mut err) = (StreamWriter::new(out), StreamWriter::new(err));
            for item in waiting {
                match item {
                    OutputItem::Line(OutputStream::Out, text) => {
                        if let Some(lost) = out.line(&text) {
                            err.line(&lost.message("stdout"));
                        }
                    }
                    OutputItem::Line(OutputStream::Err, text) => {
                        if let Some(lost) = err.line(&text) {
                            err.line(&lost.message("stderr"));
                        }
                    }
                    OutputItem::Mark(reached) => _ = reached.try_send(()),
                }
            }
            // Nobody listens any more where the process did not want to wait.
            let _ = finished.send(());
        })?;
        Ok(Self { lines, done, left_out: 0 })
    }

    /// Hands one line over, without its line break. Never waits.
    pub fn write_line(&mut self, stream: OutputStream, text: String) {
        if self.left_out > 0 {
            let count = format!("({} lines were left out)", self.left_out);
            if self.lines.try_send(OutputItem::Line(OutputStream::Err, count)).is_ok() {
                self.left_out = 0;
            }
        }
        if let Err(TrySendError::Full(_)) = self.lines.try_send(OutputItem::Line(stream, text)) {
            self.left_out += 1;
        }
    }

    /// Waits until what was said so far is written, at most this long.
    pub fn wait_written(&self, at_most: Duration) {
        let (reached, reaches) = mpsc::sync_channel(1);
        if self.lines.try_send(OutputItem::Mark(reached)).is_ok() {
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
struct StreamWriter<W> {
    to: Option<W>,
    lost: Option<LostLines>,
    /// The last line is there in part: the next one begins with a line break.
    torn: bool,
}

/// Lines that could not be written, and why not.
struct LostLines {
    count: u64,
    why: String,
}

impl LostLines {
    fn message(&self, stream: &str) -> String {
        format!("({} lines could not be written to {stream}: {})", self.count, self.why)
    }
}

impl<W: Write> StreamWriter<W> {
    fn new(to: W) -> Self {
        Self { to: Some(to), lost: None, torn: false }
    }

    /// Writes a line, and returns what was lost before it, if there was something.
    fn line(&mut self, text: &str) -> Option<LostLines> {
        let to = self.to.as_mut()?;
        // One write a line: others may write to the same terminal.
        let line = format!("{}{text}\n", if self.torn { "\n" } else { "" });
        let (written, ended) = write_all(to, line.as_bytes());
        match ended.and_then(|()| to.flush()) {
            Ok(()) => {
                self.torn = false;
                self.lost.take()
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.to = None;
                None
            }
            Err(error) => {
                self.torn |= written > 0;
                let lost = self.lost.get_or_insert(LostLines { count: 0, why: String::new() });
                lost.count += 1;
                lost.why = io_message(&error);
                None
            }
        }
    }
}

/// Writes all of it, or says how much of it was written.
fn write_all(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// A stream whose lines can be looked at, or a closed one.
    #[derive(Clone, Default)]
    pub(crate) struct CapturedOutput {
        text: Arc<Mutex<Vec<u8>>>,
        closed: bool,
    }

    impl CapturedOutput {
        pub(crate) fn closed() -> Self {
            Self { closed: true, ..Self::default() }
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.text.lock().clone()).unwrap()
        }
    }

    impl Write for CapturedOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.text.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_closed_stdout_closes_nothing_else() {
        let err = CapturedOutput::default();
        let mut writer = OutputWriter::to(CapturedOutput::closed(), err.clone()).unwrap();
        writer.write_line(OutputStream::Out, "Forwarding".into());
        writer.write_line(OutputStream::Err, "one".into());
        writer.write_line(OutputStream::Out, "Forwarding".into());
        writer.write_line(OutputStream::Err, "two".into());
        writer.wait_written(SOON);
        assert_eq!(err.text(), "one\ntwo\n");
        assert!(writer.close(SOON));
        assert_eq!(err.text(), "one\ntwo\n");
    }

    /// A disk that is full for a while: of what is written then, only the first bytes find room.
    struct Full(CapturedOutput, Arc<Mutex<Vec<usize>>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1.lock().pop() {
                None => self.0.write(bytes),
                Some(0) => Err(io::ErrorKind::StorageFull.into()),
                Some(room) => self.0.write(&bytes[..room]),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_write_costs_its_line_and_no_more() {
        let (out, err) = (CapturedOutput::default(), CapturedOutput::default());
        // The first line is torn, the second not written at all.
        let room = Arc::new(Mutex::new(vec![0, 0, 2]));
        let mut writer = OutputWriter::to(Full(out.clone(), room), err.clone()).unwrap();
        for text in ["first", "second", "third", "fourth"] {
            writer.write_line(OutputStream::Out, text.into());
        }
        assert!(writer.close(SOON));
        assert_eq!(out.text(), "fi\nthird\nfourth\n");
        assert!(err.text().starts_with("(2 lines could not be written to stdout: "), "{}", err.text());
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
        let mut writer = OutputWriter::to(Paused(permits), CapturedOutput::default()).unwrap();
        for _ in 0..WAITING + 10 {
            writer.write_line(OutputStream::Out, "x".into());
        }
        // One line is being written, the others wait.
        assert!(writer.left_out >= 9);
        assert!(!writer.close(Duration::ZERO));
        drop(permit);
    }
}
