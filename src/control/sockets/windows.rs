//! Named pipes. By the system's default only their owner may write to one, and who cannot write can ask for nothing.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::windows::named_pipe::{ClientOptions, NamedPipeServer, ServerOptions},
    time::sleep,
};

use super::environment::{SocketEnvironment, no_place};
use crate::error::{Fatal, io_message};

pub(super) const SUFFIX: &str = "";
const PIPES: &str = r"\\.\pipe";
/// `ERROR_PIPE_BUSY`: every instance has its client, and the next one is about to be made.
const BUSY: i32 = 231;
const PAUSE: Duration = Duration::from_millis(10);

/// A client's or a server's connection.
pub type ControlStream = Box<dyn PipeIo>;

/// What both ends of a pipe can do.
pub trait PipeIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PipeIo for T {}

/// A pipe that clients connect to.
pub struct ControlListener {
    /// The instance that the next client gets.
    next: NamedPipeServer,
    path: PathBuf,
}

impl ControlListener {
    /// The next client.
    pub async fn accept(&mut self) -> io::Result<ControlStream> {
        self.next.connect().await?;
        let following = options().create(&self.path)?;
        Ok(Box::new(std::mem::replace(&mut self.next, following)))
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn options() -> ServerOptions {
    let mut options = ServerOptions::new();
    options.reject_remote_clients(true);
    options
}

/// The one place of all pipes. The user's name is in each name, for another user's are not to be asked.
pub(super) fn directories(environment: &SocketEnvironment) -> io::Result<(Vec<PathBuf>, String)> {
    let user: String = environment.user.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    Ok((vec![PathBuf::from(PIPES)], format!("kubectl-fwd-{user}-")))
}

/// Pipes are no files. The directory for temporary files is each user's own.
pub(super) fn log_directories(environment: &SocketEnvironment, _: &[PathBuf]) -> Vec<PathBuf> {
    vec![environment.temporary.join("kubectl-fwd")]
}

/// Every user may have pipes.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(super) fn usable(_: &Path) -> Result<(), Fatal> {
    Ok(())
}

/// Makes the directory where it is not there.
pub(super) fn make(directory: &Path) -> Result<(), Fatal> {
    fs::create_dir_all(directory)
        .map_err(|error| no_place(format!("{}: {}", directory.display(), io_message(&error))))
}

pub(super) fn listen(directory: &Path, name: &str) -> Result<ControlListener, Fatal> {
    let path = directory.join(name);
    // The first of its name, or nothing: a pipe of ours that somebody else made first is not ours.
    let next = options().first_pipe_instance(true).create(&path);
    let next = next.map_err(|error| no_place(format!("{}: {}", path.display(), io_message(&error))))?;
    Ok(ControlListener { next, path })
}

pub(super) fn names(directory: &Path) -> Result<Vec<String>, Fatal> {
    let entries = fs::read_dir(directory).map_err(|error| {
        Fatal::new("fwd::control::place", "the pipes of this machine cannot be listed")
            .because(io_message(&error))
    })?;
    Ok(entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter_map(|name: OsString| name.into_string().ok())
        .collect())
}

/// Connects to the process that listens there. None where it is dead; a pipe ends with its process, so there is nothing
/// to sweep.
pub(super) async fn connect(path: &Path) -> io::Result<Option<ControlStream>> {
    loop {
        match ClientOptions::new().open(path) {
            Ok(stream) => return Ok(Some(Box::new(stream))),
            Err(error) if error.raw_os_error() == Some(BUSY) => sleep(PAUSE).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
