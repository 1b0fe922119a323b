//! A cluster, and the processes of one user on it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub(crate) use sandbox::client::{Failure, Test, ask, within};
use sandbox::forward::{self, Ended, Forward};
use sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// A cluster and the processes of one user. Those in the background end with it.
pub(crate) struct World {
    pub sandbox: Sandbox,
}

impl World {
    pub(crate) async fn new() -> Result<Self, Failure> {
        Ok(Self { sandbox: Sandbox::start(Options::default()).await? })
    }

    /// A command of the program, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut command = forward::command(Path::new(PROGRAM), &self.sandbox.kubeconfig("admin"), &words);
        command.current_dir(self.sandbox.directory());
        command
    }

    /// Starts a process that goes on.
    pub(crate) fn start(&self, line: &str) -> io::Result<Forward> {
        Forward::spawn(self.command(line))
    }

    /// Starts a forward, and gives its local port once it works.
    pub(crate) async fn working(&self, line: &str) -> Result<(Forward, u16), Failure> {
        let mut forward = self.start(line)?;
        let port = forward.port().await?;
        Ok((forward, port))
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, line: &str) -> Result<Ended, Failure> {
        Ok(within(line, self.command(line).output()).await??.try_into()?)
    }

    /// The same, with something on its stdin.
    pub(crate) async fn run_with(&self, line: &str, input: &str) -> Result<Ended, Failure> {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(within(line, child.wait_with_output()).await??.try_into()?)
    }

    /// Runs a command that is to succeed.
    pub(crate) async fn succeed(&self, line: &str) -> Result<Ended, Failure> {
        let ran = self.run(line).await?;
        if ran.code == Some(0) { Ok(ran) } else { Err(format!("{line} failed: {ran:?}").into()) }
    }

    /// Every forward there is.
    pub(crate) async fn list(&self) -> Result<Vec<Value>, Failure> {
        Ok(serde_json::from_str(&self.succeed("list -o json").await?.stdout)?)
    }

    /// Looks until there are so many forwards.
    pub(crate) async fn listed(&self, count: usize) -> Result<Vec<Value>, Failure> {
        let look = async {
            loop {
                let all = self.list().await?;
                if all.len() == count {
                    return Ok(all);
                }
            }
        };
        within(&format!("{count} forwards"), look).await?
    }

    /// Puts a file where commands run.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).map(|()| path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.sandbox.directory().join(name)
    }

    /// The text of a saved set.
    pub(crate) fn set(&self, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.path(&format!("kubectl-fwd/sets/{name}.yaml")))
    }

    /// Looks until a saved set is as it should be.
    pub(crate) async fn set_becomes(&self, name: &str, what: &str, enough: impl Fn(&str) -> bool) -> Test {
        let look = async {
            while !self.set(name).is_ok_and(|text| enough(&text)) {
                tokio::task::yield_now().await;
            }
        };
        let become_so = within(what, look).await;
        become_so
            .map_err(|failure| format!("{failure}; it is:\n{}", self.set(name).unwrap_or_default()).into())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Processes in the background are nobody's children.
        let words = ["stop", "--all", "--quiet"];
        let command = forward::command(Path::new(PROGRAM), &self.sandbox.kubeconfig("admin"), &words);
        let mut command = command.into_std();
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The local port in kubectl's line.
pub(crate) fn port_in(stdout: &str) -> Result<u16, Failure> {
    let rest =
        stdout.split("Forwarding from 127.0.0.1:").nth(1).ok_or_else(|| format!("no line in {stdout:?}"))?;
    Ok(rest.split(' ').next().unwrap_or_default().parse()?)
}

/// The id in the line of a process in the background.
pub(crate) fn id_in(stderr: &str) -> Result<String, Failure> {
    let rest = stderr.split("in the background as ").nth(1).ok_or_else(|| format!("no id in {stderr:?}"))?;
    Ok(rest.chars().take_while(char::is_ascii_alphanumeric).collect())
}

/// Whether a process is there. A zombie is not: it has ended, and only its parent has not looked.
pub(crate) fn is_alive(pid: u64) -> bool {
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    state.is_ok_and(|output| {
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        !state.is_empty() && !state.starts_with('Z')
    })
}

/// Sends a signal to a process that is not our child.
pub(crate) fn signal(pid: u64, name: &str) -> Test {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status()?;
    if sent.success() { Ok(()) } else { Err(format!("kill -{name} {pid} failed").into()) }
}

/// Looks until a process is gone.
pub(crate) async fn gone(pid: u64) -> Test {
    within("the end of a process", async {
        while is_alive(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(crate) fn pid_of(forward: &Value) -> Result<u64, Failure> {
    forward["pid"].as_u64().ok_or_else(|| format!("no pid in {forward}").into())
}
