//! The terminal that the process belongs to, and which group of processes is in its foreground.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, getpgrp},
    termios,
};

/// The controlling terminal, whatever stdin, stdout and stderr are.
pub(super) struct Terminal(OwnedFd);

impl Terminal {
    /// `None` where the process has none.
    pub(super) fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::open("/dev/tty", flags, Mode::empty()).ok().map(Self)
    }

    /// The group that Ctrl-C reaches.
    pub(super) fn foreground(&self) -> Option<Pid> {
        termios::tcgetpgrp(&self.0).ok()
    }

    /// Whether Ctrl-C reaches this process.
    pub(super) fn is_ours(&self) -> bool {
        self.foreground() == Some(getpgrp())
    }

    /// Gives the terminal to a group. Only one that has it may do so: another one is stopped for trying.
    pub(super) fn give_to(&self, group: Pid) {
        if self.is_ours() {
            // A group that has ended meanwhile needs none.
            let _ = termios::tcsetpgrp(&self.0, group);
        }
    }
}
