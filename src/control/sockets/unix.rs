//! Unix sockets in a directory of mode 0700.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use tokio::net::{UnixListener, UnixStream};

use super::environment::{SocketEnvironment, no_place};
use crate::{
    error::{Fatal, io_message},
    forward::socket::no_socket,
    system::identity::FileIdentity,
};

pub(super) const SUFFIX: &str = ".sock";
/// Nobody else may do anything there.
const MODE: u32 = 0o700;
const DIRECTORY: &str = "kubectl-fwd";
/// How often a socket may refuse before it counts as dead, and the pause between: some systems refuse, too, where
/// more clients come than a process accepts at once.
const REFUSALS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// A client's or a server's connection.
pub type ControlStream = UnixStream;

/// A socket that clients connect to, removed when dropped.
pub struct ControlListener {
    socket: UnixListener,
    path: PathBuf,
    made: Option<FileIdentity>,
    user: u32,
}

impl ControlListener {
    /// The next client of the same user. Others are turned away unheard.
    pub async fn accept(&mut self) -> io::Result<ControlStream> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.user => return Ok(stream),
                _ => tracing::warn!("another user tried to connect to the control socket"),
            }
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        // While the socket is there no other file can be taken for its own.
        if self.made.is_some() && FileIdentity::at(&self.path) == self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who we are. The peer of a socket pair is this process, and asking for it takes no unsafe code.
fn user() -> io::Result<u32> {
    let (one, _other) = UnixStream::pair()?;
    Ok(one.peer_cred()?.uid())
}

/// Where sockets may be. Those who started a forward with another environment may have put it into the other place.
pub(super) fn directories(environment: &SocketEnvironment) -> io::Result<(Vec<PathBuf>, String)> {
    let fallback = environment.temporary.join(format!("{DIRECTORY}-{}", user()?));
    // A relative path means nothing, says the XDG specification.
    let runtime = environment.runtime.as_ref().filter(|path| path.is_absolute());
    let directories = runtime.map(|runtime| runtime.join(DIRECTORY)).into_iter().chain([fallback]).collect();
    Ok((directories, String::new()))
}

/// Refuses a directory that is not this user's alone. False where there is none.
fn check(directory: &Path) -> Result<bool, Fatal> {
    let refuse = |why: &str| {
        Err(no_place(format!("{} {why}", directory.display())).help(format!(
            "see who made it (ls -ld {0}), then remove it or run chmod 700 {0}",
            directory.display()
        )))
    };
    let user = user().map_err(|error| no_place(io_message(&error)))?;
    // Of the link itself, where it is one.
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => refuse(&format!("cannot be looked at: {}", io_message(&error))),
        Ok(found) if found.is_symlink() => refuse("is a symbolic link, which is not trusted"),
        Ok(found) if !found.is_dir() => refuse("is not a directory"),
        Ok(found) if found.uid() != user => refuse("belongs to another user"),
        Ok(found) if found.mode() & 0o777 != MODE => refuse("is open to other users: its mode is not 0700"),
        Ok(_) => Ok(true),
    }
}

/// Logs are beside the sockets.
pub(super) fn log_directories(_: &SocketEnvironment, sockets: &[PathBuf]) -> Vec<PathBuf> {
    sockets.to_vec()
}

/// Whether sockets can be in the directory, which is made where it is not there.
pub(super) fn usable(directory: &Path) -> Result<(), Fatal> {
    make(directory)
}

/// Makes the directory where it is not there.
pub(super) fn make(directory: &Path) -> Result<(), Fatal> {
    if !check(directory)? {
        match fs::DirBuilder::new().mode(MODE).create(directory) {
            // Another process was faster; it is looked at below.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(no_place(format!("{}: {}", directory.display(), io_message(&error))));
            }
            _ => check(directory)?,
        };
    }
    Ok(())
}

pub(super) fn listen(directory: &Path, name: &str) -> Result<ControlListener, Fatal> {
    let failed = |error: &io::Error| no_place(format!("{}: {}", directory.display(), io_message(error)));
    make(directory)?;
    // Under another name until it listens: to a process that sweeps, a socket that refuses is a dead one.
    let (hidden, path) = (directory.join(format!(".{name}")), directory.join(format!("{name}{SUFFIX}")));
    let socket = UnixListener::bind(&hidden).map_err(|error| failed(&error))?;
    if let Err(error) = fs::rename(&hidden, &path) {
        let _ = fs::remove_file(&hidden);
        return Err(failed(&error));
    }
    let user = user().map_err(|error| failed(&error))?;
    let made = FileIdentity::at(&path);
    Ok(ControlListener { socket, path, made, user })
}

pub(super) fn names(directory: &Path) -> Result<Vec<String>, Fatal> {
    if !check(directory)? {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(directory)
        .map_err(|error| no_place(format!("{}: {}", directory.display(), io_message(&error))))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Connects to the process that listens there. None where it is dead: what it left is swept.
///
/// What is swept is a socket, refuses, and is the one that refused. No lock is needed: a name is never used twice, and
/// a socket has it only once it listens.
pub(super) async fn connect(path: &Path) -> io::Result<Option<ControlStream>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        // Whatever it is, no process of ours listens there.
        Ok(found) if no_socket(found.file_type()).is_some() => return Ok(None),
        Ok(found) => FileIdentity::of(&found),
    };
    for _ in 0..REFUSALS {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A socket for datagrams, for example: its owner is no process of ours.
            Err(error) if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    if !is_certain(path) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    if FileIdentity::at(path) == Some(found) {
        fs::remove_file(path)?;
    }
    Ok(None)
}

/// Whether a socket that refuses is dead. Elsewhere than on Linux one refuses, too, whose process is stopped and has as
/// many clients waiting as it may; so there its process has to be gone.
fn is_certain(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let pid = name.split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    cfg!(target_os = "linux") || !pid.is_some_and(is_alive)
}

fn is_alive(pid: Pid) -> bool {
    // Another user's process is one, too.
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}
