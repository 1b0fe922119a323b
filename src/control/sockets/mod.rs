//! Where sockets are: one file per process, in a directory that is this user's alone.
//!
//! On Unix that is `$XDG_RUNTIME_DIR/kubectl-fwd`, or else `kubectl-fwd-UID` in the temporary directory, where others
//! could have put something of that name first: so whose it is, and that nobody else may enter, is checked before each
//! use, and a link is never followed. On Windows it is the system's directory of named pipes, the user's name in each
//! name.
//!
//! A name is `PID-RANDOM`: a process that took a dead one's number does not take its name.

use std::{
    io,
    path::{Path, PathBuf},
};

mod environment;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use self::environment::no_place;
pub use self::{
    environment::SocketEnvironment,
    system::{ControlListener, ControlStream},
};

use crate::error::{Fatal, io_message};

/// A process's socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlSocket {
    /// The process.
    pub pid: u32,
    /// Where it listens.
    pub path: PathBuf,
}

/// How connecting went.
pub enum SocketConnection {
    /// The process is there.
    Stream(ControlStream),
    /// It is not: it was killed, and its socket has just been removed.
    Dead,
}

/// The directories where sockets may be.
#[derive(Debug, Clone)]
pub struct SocketDirectories {
    /// The first one that can be used is; all of them are looked through.
    directories: Vec<PathBuf>,
    prefix: String,
    /// The same for logs.
    logs: Vec<PathBuf>,
}

const LOG: &str = "log";
const RECORD: &str = "json";

impl SocketDirectories {
    /// Where sockets are in these surroundings. Inside the runtime only.
    pub fn new(environment: &SocketEnvironment) -> Result<Self, Fatal> {
        let (directories, prefix) =
            system::directories(environment).map_err(|error| no_place(io_message(&error)))?;
        let logs = system::log_directories(environment, &directories);
        Ok(Self { directories, prefix, logs })
    }

    /// Listens on a new socket of this process.
    pub fn listen(&self) -> Result<ControlListener, Fatal> {
        let name = format!("{}{}-{:04x}", self.prefix, std::process::id(), fastrand::u16(..));
        let mut refusal = None;
        for directory in &self.directories {
            match system::listen(directory, &name) {
                Ok(listener) => return Ok(listener),
                Err(fatal) => refusal = refusal.or(Some(fatal)),
            }
        }
        Err(refusal.unwrap_or_else(|| no_place("this user has no directory for it")))
    }

    /// Every socket of this user, by process. A directory that is not to be trusted has none, and says why.
    pub fn sockets(&self) -> (Vec<ControlSocket>, Vec<Fatal>) {
        let (mut all, mut refusals) = (Vec::new(), Vec::new());
        for directory in &self.directories {
            match system::names(directory) {
                Ok(names) => all.extend(names.iter().filter_map(|name| self.socket(directory, name))),
                Err(fatal) => refusals.push(fatal),
            }
        }
        all.sort();
        (all, refusals)
    }

    /// The directory that a socket of this process would be in, made where it was not there.
    pub fn usable(&self) -> Result<PathBuf, Fatal> {
        first(&self.directories, system::usable).map(Path::to_owned)
    }

    /// A name for this process's log, in a directory that is there.
    pub fn log(&self) -> Result<PathBuf, Fatal> {
        let name = format!("{}-{:04x}.{LOG}", std::process::id(), fastrand::u16(..));
        first(&self.logs, system::make).map(|directory| directory.join(name))
    }

    /// Every log of this user with its process, the newest first.
    pub fn logs(&self) -> Vec<(u32, PathBuf)> {
        self.files(LOG)
    }

    /// Every record of what a process in the background forwarded, beside its log; the newest first.
    pub fn records(&self) -> Vec<(u32, PathBuf)> {
        self.files(RECORD)
    }

    /// The record that goes with a log.
    pub fn record_of(&self, log: &Path) -> PathBuf {
        log.with_extension(RECORD)
    }

    /// The log that goes with a record.
    pub fn log_of(&self, record: &Path) -> PathBuf {
        record.with_extension(LOG)
    }

    fn files(&self, extension: &str) -> Vec<(u32, PathBuf)> {
        let mut all = Vec::new();
        for directory in &self.logs {
            for name in system::names(directory).unwrap_or_default() {
                let path = directory.join(&name);
                let stem = name.strip_suffix(extension).filter(|stem| stem.ends_with('.'));
                let pid = stem.and_then(|stem| stem.split_once('-')?.0.parse().ok());
                let since = path.metadata().and_then(|metadata| metadata.modified());
                if let (Some(pid), Ok(since)) = (pid, since) {
                    all.push((since, pid, path));
                }
            }
        }
        all.sort_by(|one, other| other.cmp(one));
        all.into_iter().map(|(_, pid, path)| (pid, path)).collect()
    }

    fn socket(&self, directory: &Path, name: &str) -> Option<ControlSocket> {
        let (pid, _) = name.strip_prefix(&*self.prefix)?.strip_suffix(system::SUFFIX)?.split_once('-')?;
        Some(ControlSocket { pid: pid.parse().ok()?, path: directory.join(name) })
    }
}

/// The first directory of which `work` makes something.
fn first(directories: &[PathBuf], work: fn(&Path) -> Result<(), Fatal>) -> Result<&Path, Fatal> {
    let mut refusal = None;
    for directory in directories {
        match work(directory) {
            Ok(()) => return Ok(directory),
            Err(fatal) => refusal = refusal.or(Some(fatal)),
        }
    }
    Err(refusal.unwrap_or_else(|| no_place("this user has no directory for it")))
}

impl ControlSocket {
    /// Connects to the process, or sweeps what a dead one left.
    pub async fn connect(&self) -> io::Result<SocketConnection> {
        Ok(system::connect(&self.path).await?.map_or(SocketConnection::Dead, SocketConnection::Stream))
    }
}
