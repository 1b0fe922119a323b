//! A process that serves, and the directory that it serves from.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sandbox::support::{Failure, within};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Who servers are where the tests are root, which PostgreSQL refuses to be: Debian's `nobody`.
const NOBODY: u32 = 65534;

/// Ports of servers, below those that kernels give away: a port that was found free is not taken for a connection.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// How many ports are tried, since somebody else may take one between the look and the server's start.
const TRIES: usize = 5;

/// Between two looks at whether a process listens, or has ended: there is no event to wait for.
const LOOK: Duration = Duration::from_millis(10);

/// How long a server may take to end before it is killed.
const END: Duration = Duration::from_secs(5);

/// A directory that belongs to the user of the servers. Dropping it removes it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("fwd-{name}-{:016x}", fastrand::u64(..)));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let directory = Self(path);
        directory.give_away("")?;
        Ok(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that nobody but the servers reads.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.give_away(name)?;
        Ok(path)
    }

    fn give_away(&self, name: &str) -> io::Result<()> {
        if geteuid().is_root() { chown(self.path(name), Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
    }

    /// A command of the servers' user, in this directory.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).env("HOME", &self.0).stdin(Stdio::null()).kill_on_drop(true);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    signal: Signal,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) directory: Directory,
}

impl Server {
    /// Starts a server, ended by `signal`, on a port that is free, and waits until it listens.
    pub(crate) async fn start(
        directory: Directory,
        signal: Signal,
        command: impl Fn(&Directory, u16) -> io::Result<Command>,
    ) -> Result<Self, Failure> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            let mut command = command(&directory, port)?;
            let log = fs::File::create(directory.path("server.log"))?;
            let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if within("a server that listens", listens(&mut child, address)).await?? {
                return Ok(Self { child, signal, address, directory });
            }
            why = fs::read_to_string(directory.path("server.log"))?;
        }
        Err(format!("the server ends: {why}").into())
    }
}

/// Whether a process comes to listen, or ends before.
async fn listens(child: &mut Child, address: SocketAddr) -> io::Result<bool> {
    while TcpStream::connect(address).await.is_err() {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

/// A port that is free now.
pub(crate) fn free_port() -> io::Result<u16> {
    let mut free = Err(io::Error::other("no port is free"));
    for _ in 0..TRIES {
        let port = fastrand::u16(PORTS);
        free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|_| port);
        if free.is_ok() {
            break;
        }
    }
    free
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else { return };
        let _ = kill_process(pid, self.signal);
        let by = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > by {
                let _ = self.child.start_kill();
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}
