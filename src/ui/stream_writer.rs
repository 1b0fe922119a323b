//! One of the two streams that lines are written to: what becomes of a line that cannot be written.

use std::io::{self, Write};

use crate::error::io_message;

/// A stream, until it is closed by its reader.
pub(super) struct StreamWriter<W> {
    to: Option<W>,
    lost: Option<LostLines>,
    /// The last line is there in part: the next one begins with a line break.
    torn: bool,
}

/// Lines that could not be written, and why not.
pub(super) struct LostLines {
    count: u64,
    why: String,
}

impl LostLines {
    pub(super) fn message(&self, stream: &str) -> String {
        format!("({} lines could not be written to {stream}: {})", self.count, self.why)
    }
}

impl<W: Write> StreamWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to: Some(to), lost: None, torn: false }
    }

    /// Writes what is no line.
    pub(super) fn control(&mut self, sequence: &str) {
        let Some(to) = self.to.as_mut().filter(|_| !sequence.is_empty()) else { return };
        // What is not shown harms nobody.
        let _ = write_all(to, sequence.as_bytes()).1.and_then(|()| to.flush());
    }

    /// Writes a line, and what stands in front of it and is none. Returns what was lost before it, if there was something.
    pub(super) fn line(&mut self, before: &str, text: &str) -> Option<LostLines> {
        let to = self.to.as_mut()?;
        // One write a line: others may write to the same terminal.
        let line = format!("{before}{}{text}\n", if self.torn { "\n" } else { "" });
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
