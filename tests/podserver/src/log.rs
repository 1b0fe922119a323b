//! What a pod's container writes to its stdout: what its applications saw, for tests that ask the cluster for it.

use std::collections::VecDeque;
use std::io::{self, Write};

use parking_lot::Mutex;

/// How many lines are kept; no test writes as many.
const KEPT: usize = 1000;

/// The log of one pod.
#[derive(Debug, Default)]
pub struct Log {
    lines: Mutex<VecDeque<String>>,
    output: Output,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Output {
    #[default]
    Kept,
    Stdout,
}

impl Log {
    /// One that goes to stdout, where the container runtime finds it.
    pub fn on_stdout() -> Self {
        Self { output: Output::Stdout, ..Self::default() }
    }

    pub(super) fn say(&self, line: String) {
        if self.output == Output::Stdout {
            // A log that nobody takes is no reason to stop.
            let _ = writeln!(io::stdout(), "{line}");
            return;
        }
        let mut lines = self.lines.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line + "\n");
    }

    /// All of it, a line each.
    pub fn text(&self) -> String {
        self.lines.lock().iter().map(String::as_str).collect()
    }
}
