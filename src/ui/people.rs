//! Where lines for people go: to stderr, to a file in its place, or nowhere for a while.
//!
//! All that writes for people, whichever thread it writes on, writes to a clone of one [`PeopleOutput`]. So it is led
//! elsewhere at one place: while a command has the terminal nothing may be written there, and what came up meanwhile is
//! told once the command has ended.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;

/// Lines that are kept while none may be written: a summary of what happened, that leaves on the screen what the command
/// wrote last.
const KEPT_LINES: usize = 10;

/// The output for people. Clones are the same one.
#[derive(Clone, Default)]
pub struct PeopleOutput(Arc<Mutex<Destination>>);

#[derive(Default)]
enum Destination {
    #[default]
    Stderr,
    File(Box<dyn Write + Send>),
    Held(HeldLines),
}

/// What would have been written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldLines {
    /// The last lines, each as it would have been written.
    pub lines: VecDeque<String>,
    /// How many there were before them.
    pub earlier: u64,
}

impl PeopleOutput {
    /// From now on all of it is written there.
    pub fn lead_to(&self, file: impl Write + Send + 'static) {
        *self.0.lock() = Destination::File(Box::new(file));
    }

    /// From now on nothing is written to stderr. A file goes on being written to.
    pub fn hold(&self) {
        let mut destination = self.0.lock();
        if matches!(*destination, Destination::Stderr) {
            *destination = Destination::Held(HeldLines::default());
        }
    }

    /// From now on it is written again. Returns what was not.
    pub fn release(&self) -> HeldLines {
        let mut destination = self.0.lock();
        match std::mem::take(&mut *destination) {
            Destination::Held(held) => held,
            other => {
                *destination = other;
                HeldLines::default()
            }
        }
    }
}

/// Each write is a line or several.
impl Write for PeopleOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock() {
            // Below: a terminal that is paused must hold up no one who only leads the output elsewhere.
            Destination::Stderr => {}
            Destination::File(file) => return file.write(bytes),
            Destination::Held(held) => {
                held.keep(&String::from_utf8_lossy(bytes));
                return Ok(bytes.len());
            }
        }
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl HeldLines {
    fn keep(&mut self, text: &str) {
        for line in text.lines() {
            if self.lines.len() == KEPT_LINES {
                self.lines.pop_front();
                self.earlier += 1;
            }
            self.lines.push_back(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::output_writer::tests::CapturedOutput;

    #[test]
    fn what_is_held_is_bounded() {
        let people = PeopleOutput::default();
        people.hold();
        people.hold();
        for number in 0..KEPT_LINES + 3 {
            people.clone().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        let held = people.release();
        assert_eq!((held.lines.len(), held.earlier), (KEPT_LINES, 3));
        assert_eq!(held.lines.front().map(String::as_str), Some("line 3"));
        assert_eq!(people.release(), HeldLines::default());
    }

    #[test]
    fn a_file_is_written_to_whatever_has_the_terminal() {
        let (people, file) = (PeopleOutput::default(), CapturedOutput::default());
        people.lead_to(file.clone());
        writeln!(people.clone(), "one").unwrap();
        people.hold();
        writeln!(people.clone(), "two").unwrap();
        assert_eq!(people.release(), HeldLines::default());
        writeln!(people.clone(), "three").unwrap();
        assert_eq!(file.text(), "one\ntwo\nthree\n");
    }
}
