//! Whether the process's terminal is somebody else's for now.
//!
//! A command that runs beside forwards has the terminal alone. What this process would ask a person there has to wait, or to
//! fail: two that read from one terminal get every other key each.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many have it. There is one terminal for the whole process.
static LOANS: AtomicUsize = AtomicUsize::new(0);

/// While this is there the terminal is somebody else's.
#[derive(Debug)]
#[must_use]
pub struct TerminalLoan(());

/// Leaves the terminal to somebody else.
pub fn lend() -> TerminalLoan {
    LOANS.fetch_add(1, Ordering::Relaxed);
    TerminalLoan(())
}

/// Whether it is left to somebody else.
pub fn is_lent() -> bool {
    LOANS.load(Ordering::Relaxed) > 0
}

impl Drop for TerminalLoan {
    fn drop(&mut self) {
        LOANS.fetch_sub(1, Ordering::Relaxed);
    }
}
