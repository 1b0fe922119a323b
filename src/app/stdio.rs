//! stdin and stdout as streams of the runtime. The system's handles are duplicated, past the buffers of the standard
//! library, and read and written on the runtime's blocking threads: whatever they are, pipes, sockets or files.

use std::io;

#[cfg(unix)]
use std::os::fd::AsFd as _;
#[cfg(windows)]
use std::os::windows::io::AsHandle as _;

use tokio::fs::File;

/// A handle of its own for stdout, past the standard library's buffer and its lock.
pub(super) fn stdout() -> io::Result<std::fs::File> {
    #[cfg(unix)]
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    #[cfg(windows)]
    let output = io::stdout().as_handle().try_clone_to_owned()?;
    Ok(output.into())
}

/// Both, as a parent program has connected them.
pub(super) fn streams() -> io::Result<(File, File)> {
    #[cfg(unix)]
    let (input, output) =
        (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
    #[cfg(windows)]
    let (input, output) =
        (io::stdin().as_handle().try_clone_to_owned()?, io::stdout().as_handle().try_clone_to_owned()?);
    Ok((File::from_std(input.into()), File::from_std(output.into())))
}
