//! The one writer to stdout and stderr while forwards run.
//!
//! A terminal that is paused (Ctrl-S), or a pipe that nobody reads, blocks its writer. So a thread of its own
//! writes, and the rest of the program only hands lines over: it never waits, and a line too many is counted and left
//! out. A closed stream (a script that read its `Forwarding from` line and went on) ends the writing to that stream and
//! nothing else. Any other failure, a full disk, costs the lines that it hits; once writing works again they are counted
//! on stderr.
//!
//! Below the lines a terminal may have status lines. They are no lines that wait, but what the thread finds when it has
//! written all others: a terminal that was paused for an hour shows those of now.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    people::PeopleOutput,
    status_area::{StatusArea, TerminalSize},
    status_line::StatusLine,
    stream_writer::StreamWriter,
};

/// Lines that may wait for a slow terminal.
const WAITING: usize = 1024;

/// The writer to the process's own streams, once there is one.
static PROCESS: Mutex<Option<OutputWriter>> = Mutex::new(None);

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

/// What becomes of lines for stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutUse {
    /// They are written there.
    Written,
    /// They go to the output for people: stdout is a command's.
    ToPeople,
    /// They are left out.
    Unused,
}

/// Hands lines over. Clones hand them to the same streams.
#[derive(Debug, Clone)]
pub struct OutputWriter {
    handle: Arc<WriterHandle>,
    stdout: StdoutUse,
}

/// What ends the thread once nobody has it any more.
#[derive(Debug)]
struct WriterHandle {
    shared: Arc<WriterShared>,
}

#[derive(Default)]
struct WriterShared {
    queue: Mutex<WriterQueue>,
    /// Told of everything that changes in the queue.
    changed: Condvar,
}

#[derive(Default)]
struct WriterQueue {
    lines: VecDeque<(OutputStream, String)>,
    status: Vec<StatusLine>,
    /// The status lines are not the ones that are shown.
    stale: bool,
    /// The thread is writing what it took.
    busy: bool,
    left_out: u64,
    /// Nobody hands lines over any more.
    closed: bool,
}

/// What there is to write.
enum OutputItem {
    Line(OutputStream, String),
    Status(Vec<StatusLine>),
}

impl OutputWriter {
    /// To stdout, and to the output for people. There is one for the process: whoever writes there at the same time would
    /// write into the status lines.
    pub fn open(people: PeopleOutput, stdout: StdoutUse) -> io::Result<Self> {
        let mut process = PROCESS.lock();
        if let Some(writer) = &*process {
            return Ok(Self { stdout, ..writer.clone() });
        }
        let area = StatusArea::new(TerminalSize::of_stderr);
        let writer = Self { stdout, ..Self::spawn(io::stdout(), people, area)? };
        *process = Some(writer.clone());
        Ok(writer)
    }

    /// To any two.
    pub fn to(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> io::Result<Self> {
        Self::spawn(out, err, StatusArea::new(TerminalSize::default))
    }

    fn spawn(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        area: StatusArea,
    ) -> io::Result<Self> {
        let shared = Arc::<WriterShared>::default();
        let theirs = Arc::clone(&shared);
        let mut streams = Streams { out: StreamWriter::new(out), err: StreamWriter::new(err), area };
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            while let Some(item) = theirs.next() {
                match item {
                    OutputItem::Line(stream, text) => streams.line(stream, &text),
                    OutputItem::Status(lines) => streams.status(&lines),
                }
                theirs.queue.lock().busy = false;
                theirs.changed.notify_all();
            }
        })?;
        Ok(Self { handle: Arc::new(WriterHandle { shared }), stdout: StdoutUse::Written })
    }

    fn queue(&self) -> MutexGuard<'_, WriterQueue> {
        self.handle.shared.queue.lock()
    }

    fn changed(&self) {
        self.handle.shared.changed.notify_all();
    }

    /// Hands one line over, without its line break. Never waits.
    pub fn write_line(&self, stream: OutputStream, text: String) {
        let stream = match (stream, self.stdout) {
            (OutputStream::Out, StdoutUse::Unused) => return,
            (OutputStream::Out, StdoutUse::ToPeople) => OutputStream::Err,
            (stream, _) => stream,
        };
        self.queue().push(stream, text);
        self.changed();
    }

    /// Shows these lines below all others from now on, instead of those that are there. For a terminal only.
    pub fn show_status(&self, lines: Vec<StatusLine>) {
        let mut queue = self.queue();
        if queue.status != lines {
            (queue.status, queue.stale) = (lines, true);
            drop(queue);
            self.changed();
        }
    }

    /// Ends the status lines, and waits until everything is written, at most this long. Says whether it is.
    pub fn close(&self, at_most: Duration) -> bool {
        self.show_status(Vec::new());
        self.wait_written(at_most)
    }

    /// Waits until what was said so far is written, at most this long. Says whether it is.
    pub fn wait_written(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut queue = self.queue();
        while queue.has_work() || queue.busy {
            if self.handle.shared.changed.wait_until(&mut queue, until).timed_out() {
                return !queue.has_work() && !queue.busy;
            }
        }
        true
    }

    #[cfg(test)]
    fn left_out(&self) -> u64 {
        self.queue().left_out
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for WriterShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterShared").finish_non_exhaustive()
    }
}

impl WriterShared {
    /// Waits for something to write. `None` once there will be nothing.
    fn next(&self) -> Option<OutputItem> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(item) = queue.take() {
                queue.busy = true;
                return Some(item);
            }
            if queue.closed {
                return None;
            }
            self.changed.wait(&mut queue);
        }
    }
}

impl WriterQueue {
    fn push(&mut self, stream: OutputStream, text: String) {
        // One place is for the count.
        if self.lines.len() >= WAITING {
            self.left_out += 1;
            return;
        }
        if self.left_out > 0 {
            let count = format!("({} lines were left out)", std::mem::take(&mut self.left_out));
            self.lines.push_back((OutputStream::Err, count));
        }
        self.lines.push_back((stream, text));
    }

    fn has_work(&self) -> bool {
        self.stale || !self.lines.is_empty()
    }

    fn take(&mut self) -> Option<OutputItem> {
        if let Some((stream, text)) = self.lines.pop_front() {
            // What is written above them takes them away.
            self.stale |= !self.status.is_empty();
            return Some(OutputItem::Line(stream, text));
        }
        std::mem::take(&mut self.stale).then(|| OutputItem::Status(self.status.clone()))
    }
}

/// The two streams, and the status lines at the end of stderr.
struct Streams<Out, Err> {
    out: StreamWriter<Out>,
    err: StreamWriter<Err>,
    area: StatusArea,
}

impl<Out: Write, Err: Write> Streams<Out, Err> {
    fn line(&mut self, stream: OutputStream, text: &str) {
        let clear = self.area.clear();
        let (lost, name) = match stream {
            OutputStream::Out => {
                self.err.control(&clear);
                (self.out.line("", text), "stdout")
            }
            OutputStream::Err => (self.err.line(&clear, text), "stderr"),
        };
        if let Some(lost) = lost {
            self.err.line("", &lost.message(name));
        }
    }

    fn status(&mut self, lines: &[StatusLine]) {
        let drawing = self.area.draw(lines);
        self.err.control(&drawing);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, mpsc};

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
        let writer = OutputWriter::to(CapturedOutput::closed(), err.clone()).unwrap();
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
        let writer = OutputWriter::to(Full(out.clone(), room), err.clone()).unwrap();
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
        let writer = OutputWriter::to(Paused(permits), CapturedOutput::default()).unwrap();
        for _ in 0..WAITING + 10 {
            writer.write_line(OutputStream::Out, "x".into());
        }
        // One line is being written, the others wait.
        assert!(writer.left_out() >= 9);
        assert!(!writer.close(Duration::ZERO));
        drop(permit);
    }

    fn status(text: &str) -> Vec<StatusLine> {
        vec![StatusLine { text: text.into(), ..StatusLine::default() }]
    }

    #[test]
    fn status_lines_stand_below_all_others() {
        let err = CapturedOutput::default();
        let writer = OutputWriter::to(CapturedOutput::default(), err.clone()).unwrap();
        writer.show_status(status("status"));
        writer.wait_written(SOON);
        writer.write_line(OutputStream::Err, "line".into());
        writer.wait_written(SOON);
        assert!(writer.close(SOON));
        let text = err.text();
        let line = text.find("\r\u{1b}[Jline\n").unwrap();
        assert!(
            text.find("status").is_some_and(|at| at < line) && text[line..].contains("status"),
            "{text:?}"
        );
        assert!(text.ends_with("\r\u{1b}[J"), "{text:?}");
    }

    #[test]
    fn lines_for_a_stdout_that_is_not_ours() {
        let (out, err) = (CapturedOutput::default(), CapturedOutput::default());
        let writer = OutputWriter::to(out.clone(), err.clone()).unwrap();
        for (stdout, text) in
            [(StdoutUse::Written, "a"), (StdoutUse::ToPeople, "b"), (StdoutUse::Unused, "c")]
        {
            OutputWriter { stdout, ..writer.clone() }.write_line(OutputStream::Out, text.into());
        }
        assert!(writer.close(SOON));
        assert_eq!((out.text().as_str(), err.text().as_str()), ("a\n", "b\n"));
    }
}
