//! What the beginning and the end of every command share.

use std::{io, time::Duration};

use crate::error::{Fatal, io_message};

/// How long a slow terminal may hold up the end.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The exit status of a command that was interrupted before it had done its work: what a shell gives to SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// The error that something of the system could not be had, without which no command runs.
pub(super) fn no_start(what: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::start", format!("cannot start {what}")).because(io_message(error))
}

/// There is no place where saved sets could be.
pub(super) fn no_config_directory() -> Fatal {
    Fatal::new("fwd::set::no_home", "there is not a directory for saved sets")
        .because("the home directory of this user is not known")
        .help("set HOME (on Windows APPDATA), or use a file: -f FILE")
}
