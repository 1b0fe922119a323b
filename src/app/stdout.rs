//! Writing to stdout what a command was asked for.

use std::io::{self, Write as _};

use crate::error::{Fatal, io_message};

/// For text that is asked for.
pub(super) fn print(text: &str) -> Result<u8, Fatal> {
    put(text.as_bytes()).map(|_| 0)
}

/// Writes to stdout. False tells that the reader has seen enough (`| head`), which is no error.
pub(super) fn put(bytes: &[u8]) -> Result<bool, Fatal> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Fatal::new("fwd::output", "cannot write to stdout").because(io_message(&error))),
    }
}
