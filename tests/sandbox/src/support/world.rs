//! A cluster, and the processes of one user on it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::client::{Failure, Test, within};
#[cfg(unix)]
use super::control::ControlClient;
use super::forward::{self, Ended, Forward};
use crate::{Options, Sandbox};

/// A cluster and the processes of one user.
pub struct World {
    /// The cluster.
    pub sandbox: Sandbox,
    program: &'static Path,
    at_end: AtEnd,
}

/// What becomes of processes in the background, which are nobody's children, at the end of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    /// There are none.
    Leave,
    Stop,
}

impl World {
    /// A new cluster, for tests of `program`.
    pub async fn new(program: &'static str) -> Result<Self, Failure> {
        Self::ending(program, AtEnd::Leave).await
    }

    /// The same, for tests that start processes in the background: these are stopped in the end.
    pub async fn with_background(program: &'static str) -> Result<Self, Failure> {
        Self::ending(program, AtEnd::Stop).await
    }

    async fn ending(program: &'static str, at_end: AtEnd) -> Result<Self, Failure> {
        let sandbox = Sandbox::start(Options::default()).await?;
        Ok(Self { sandbox, program: Path::new(program), at_end })
    }

    /// The processes of one user on this cluster.
    pub fn of(sandbox: Sandbox, program: &'static str) -> Self {
        Self { sandbox, program: Path::new(program), at_end: AtEnd::Leave }
    }

    /// The kubeconfig of the user.
    pub fn kubeconfig(&self) -> PathBuf {
        self.sandbox.kubeconfig("admin")
    }

    /// A command of the program, not yet started. It runs in the directory of the kubeconfig.
    pub fn command(&self, line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut command = forward::command(self.program, &self.kubeconfig(), &words);
        command.current_dir(self.sandbox.directory());
        command
    }

    /// A command line of the shell in a terminal of its own, which `script` makes, as the user of [`command`](Self::command):
    /// stdin is what is typed, and stdout what is shown.
    pub fn in_terminal(&self, line: &str) -> Command {
        let mut script = Command::new("script");
        let own = self.command("");
        let variables = own.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        script.args(["-qec", line, "/dev/null"]).envs(variables).current_dir(self.sandbox.directory());
        script.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        script
    }

    /// Starts a process that goes on.
    pub fn start(&self, line: &str) -> io::Result<Forward> {
        Forward::spawn(self.command(line))
    }

    /// Starts a forward, and gives its local port once it works.
    pub async fn working(&self, line: &str) -> Result<(Forward, u16), Failure> {
        let mut forward = self.start(line)?;
        let port = forward.port().await?;
        Ok((forward, port))
    }

    /// Runs a command to its end.
    pub async fn run(&self, line: &str) -> Result<Ended, Failure> {
        Ok(within(line, self.command(line).output()).await??.try_into()?)
    }

    /// The same, with something on its stdin.
    pub async fn run_with(&self, line: &str, input: &str) -> Result<Ended, Failure> {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(within(line, child.wait_with_output()).await??.try_into()?)
    }

    /// Runs a command that is to succeed.
    pub async fn succeed(&self, line: &str) -> Result<Ended, Failure> {
        let ran = self.run(line).await?;
        if ran.code == Some(0) { Ok(ran) } else { Err(format!("{line} failed: {ran:?}").into()) }
    }

    /// The same, for its stdout.
    pub async fn told(&self, line: &str) -> Result<String, Failure> {
        Ok(self.succeed(line).await?.stdout)
    }

    /// Every forward there is, as `list -o json` tells.
    pub async fn list(&self) -> Result<Vec<Value>, Failure> {
        Ok(serde_json::from_str(&self.told("list -o json").await?)?)
    }

    /// Waits until the list is as it should be. Each look takes a process: there is no event to wait for.
    pub async fn listed(&self, what: &str, enough: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>, Failure> {
        within(what, async {
            loop {
                let all = self.list().await?;
                if enough(&all) {
                    return Ok(all);
                }
            }
        })
        .await?
    }

    /// Waits until there are so many forwards.
    pub async fn listed_count(&self, count: usize) -> Result<Vec<Value>, Failure> {
        self.listed(&format!("{count} forwards"), |all| all.len() == count).await
    }

    /// Puts a file where commands run.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).map(|()| path)
    }

    /// A file where commands run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.directory().join(name)
    }

    /// The text of a saved set.
    pub fn set(&self, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.path(&format!("kubectl-fwd/sets/{name}.yaml")))
    }

    /// Looks until a saved set is as it should be.
    pub async fn set_becomes(&self, name: &str, what: &str, enough: impl Fn(&str) -> bool) -> Test {
        let look = async {
            while !self.set(name).is_ok_and(|text| enough(&text)) {
                tokio::task::yield_now().await;
            }
        };
        let become_so = within(what, look).await;
        become_so
            .map_err(|failure| format!("{failure}; it is:\n{}", self.set(name).unwrap_or_default()).into())
    }

    /// The directory of the sockets.
    pub fn socket_directory(&self) -> PathBuf {
        self.sandbox.directory().join("kubectl-fwd")
    }

    /// The sockets in it.
    pub fn sockets(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.socket_directory())? {
            all.push(entry?.path());
        }
        all.sort();
        Ok(all)
    }

    /// The only socket there is.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        match self.sockets()?.as_slice() {
            [socket] => Ok(socket.clone()),
            others => Err(format!("not one socket: {others:?}").into()),
        }
    }

    /// A client of the only process.
    #[cfg(unix)]
    pub async fn client(&self) -> Result<ControlClient, Failure> {
        ControlClient::connect(&self.socket()?).await
    }

    /// A `serve`, ready for clients, and one of them.
    #[cfg(unix)]
    pub async fn served(&self) -> Result<(Forward, ControlClient), Failure> {
        let mut serve = self.start("serve")?;
        serve.stdout("Serving on ").await?;
        Ok((serve, self.client().await?))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.at_end == AtEnd::Stop {
            let words = ["stop", "--all", "--quiet"];
            let mut command = forward::command(self.program, &self.kubeconfig(), &words).into_std();
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}
