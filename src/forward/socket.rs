//! A Unix socket as a local address.
//!
//! What stands at its path is somebody's, unless it is a socket that nobody listens on: what a killed process left
//! behind. Only that is replaced, while the directory is locked, so that of several processes that find the same one
//! dead a single one takes its place. And only the file that was made here is removed at the end.

use std::{
    fs::{self, File, FileType, TryLockError},
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep, timeout},
};

use crate::system::identity::FileIdentity;

/// How often a socket has to refuse before it counts as dead, and the pause between: it refuses, too, between a
/// process's `bind` and its `listen`, and on macOS where more clients wait than it takes.
const REFUSALS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a socket may take to accept or refuse. The system does either at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// How long another process may hold the lock: each that looks whether a socket is dead has it for some
/// [`REFUSALS`] times [`PAUSE`].
const LOCK_WITHIN: Duration = Duration::from_secs(3);

/// Why a path was not to be had.
#[derive(Debug)]
pub(super) enum SocketConflict {
    /// A process accepts connections there.
    Live,
    /// One does, and more clients wait than it takes.
    Full,
    /// A process has a socket there that is not one for connections.
    OtherKind,
    /// Something that is no socket: in words.
    NoSocket(&'static str),
    /// A socket, of which it cannot be found out whether it is dead.
    Unknown(io::Error),
    /// The directory cannot be locked.
    NoLock(io::Error),
    /// It is nobody's, and cannot be bound.
    Unbound(io::Error),
}

/// The file of a bound socket. Dropped before its listener: while that is there no other file can be taken for it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    made: Option<FileIdentity>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it and put something else there.
        if self.made.is_some() && FileIdentity::at(&self.path) == self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket at `path`.
pub(super) async fn bind(path: &Path) -> Result<(SocketFile, UnixListener), SocketConflict> {
    // Held also while nothing is there: to another process, a socket that is bound and does not listen yet looks dead.
    let lock = lock(directory(path)).await;
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let _lock = lock.map_err(SocketConflict::NoLock)?;
            let dead = dead(path).await?;
            if dead.is_some() && FileIdentity::at(path) == dead {
                fs::remove_file(path).map_err(SocketConflict::Unbound)?;
            }
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let listener = bound.map_err(SocketConflict::Unbound)?;
    Ok((SocketFile { path: path.to_owned(), made: FileIdentity::at(path) }, listener))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Locks a directory until dropped. The kernel lets go of it with the process.
async fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= LOCK_WITHIN => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
        }
    }
}

/// The dead socket at `path`; none where it is gone meanwhile.
async fn dead(path: &Path) -> Result<Option<FileIdentity>, SocketConflict> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SocketConflict::Unknown(error)),
        Ok(found) => found,
    };
    if let Some(other) = no_socket(found.file_type()) {
        return Err(SocketConflict::NoSocket(other));
    }
    for _ in 0..REFUSALS {
        let Ok(connected) = timeout(CONNECT_WITHIN, UnixStream::connect(path)).await else {
            return Err(SocketConflict::Full);
        };
        match connected {
            Ok(_) => return Err(SocketConflict::Live),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => sleep(PAUSE).await,
                io::ErrorKind::NotFound => return Ok(None),
                io::ErrorKind::WouldBlock => return Err(SocketConflict::Full),
                _ if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
                    return Err(SocketConflict::OtherKind);
                }
                _ => return Err(SocketConflict::Unknown(error)),
            },
        }
    }
    Ok(Some(FileIdentity::of(&found)))
}

/// What a file is that is no socket.
pub(crate) fn no_socket(kind: FileType) -> Option<&'static str> {
    if kind.is_socket() {
        None
    } else if kind.is_symlink() {
        Some("a link")
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_file() {
        Some("a regular file")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else {
        Some("a device")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixDatagram};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let name = format!("kubectl-fwd-socket-{}-{:x}", std::process::id(), fastrand::u32(..));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn socket(kind: Type, path: &Path) -> Socket {
        let socket = Socket::new(Domain::UNIX, kind, None).unwrap();
        socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
        socket
    }

    #[tokio::test]
    async fn what_is_somebodys_stays() {
        let directory = Directory::new();
        let path = |name| directory.path(name);
        let live = UnixListener::bind(path("live")).unwrap();
        let full = socket(Type::STREAM, &path("full"));
        full.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(client) = UnixStream::connect(path("full")).await {
            waiting.push(client);
        }
        let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        let packets = socket(Type::SEQPACKET, &path("packets"));
        packets.listen(8).unwrap();
        fs::write(path("file"), "precious").unwrap();
        fs::create_dir(path("directory")).unwrap();
        drop(socket(Type::STREAM, &path("dead")));
        symlink(path("dead"), path("link")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        for (name, expected) in [
            ("live", "Live"),
            ("full", "Full"),
            ("datagrams", "OtherKind"),
            ("packets", "OtherKind"),
            ("file", "NoSocket(\"a regular file\")"),
            ("directory", "NoSocket(\"a directory\")"),
            ("link", "NoSocket(\"a link\")"),
            ("pipe", "NoSocket(\"a named pipe\")"),
        ] {
            let before = FileIdentity::at(&path(name));
            let taken = bind(&path(name)).await.unwrap_err();
            assert_eq!(format!("{taken:?}"), expected);
            assert_eq!(FileIdentity::at(&path(name)), before, "{name}");
        }
        drop(live);
    }

    #[tokio::test]
    async fn one_of_several_replaces_a_dead_socket() {
        let directory = Directory::new();
        let path = directory.path("dead");
        drop(socket(Type::STREAM, &path));
        let all = futures_util::future::join_all((0..8).map(|_| bind(&path))).await;
        let (mut bound, taken): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        assert_eq!((bound.len(), taken.len()), (1, 7), "{taken:?}");
        // And it is the one at the path.
        let (_file, listener) = bound.remove(0).unwrap();
        let (_client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        accepted.unwrap();
    }

    #[tokio::test]
    async fn only_what_was_made_is_removed() {
        let directory = Directory::new();
        let path = directory.path("socket");
        let bound = bind(&path).await.unwrap();
        drop(bound);
        assert!(!path.exists());
        let bound = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "another process's socket was removed");
        drop(other);
    }
}
