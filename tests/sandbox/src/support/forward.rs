//! A `kubectl-fwd` at work, as a user has it: started from the command line, read line by line, ended by a signal.
//!
//! Waits are for lines, each past those that earlier waits have found, and never for ever: one that is in vain says
//! what it was for and all that the program has said.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::string::FromUtf8Error;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take: the slowest is a session that dies of silence, after some 20 s.
const PATIENCE: Duration = Duration::from_secs(45);

/// What kubectl says of a local address. On `localhost` another line, for `[::1]`, has the same port.
const WORKS: &str = "Forwarding from 127.0.0.1:";

/// A running program. Dropping it kills it.
pub struct Forward {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit status; `None` for one that died of a signal.
    pub code: Option<i32>,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

/// Of a command that ran to its end, with every byte of what it said.
impl TryFrom<process::Output> for Ended {
    type Error = FromUtf8Error;

    fn try_from(output: process::Output) -> Result<Self, FromUtf8Error> {
        let process::Output { status, stdout, stderr } = output;
        Ok(Self {
            code: status.code(),
            stdout: String::from_utf8(stdout)?,
            stderr: String::from_utf8(stderr)?,
        })
    }
}

/// Something did not come about; what it was, and what the program said instead.
pub struct Failure(String);

/// The program under test: the one that was built with the tests, or what `FWD_PROGRAM` names, which may be built for
/// another system and stand behind an emulator.
pub fn program(built: &'static str) -> &'static Path {
    static OTHER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let other = OTHER.get_or_init(|| std::env::var_os("FWD_PROGRAM").map(PathBuf::from));
    other.as_deref().unwrap_or(Path::new(built))
}

/// The command of `program` for the user of `kubeconfig`, both its streams to be read, neither coloured. Control sockets,
/// saved sets and the history are beside the kubeconfig: it neither lists nor stops what whoever runs the tests forwards.
pub fn command(program: &Path, kubeconfig: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program);
    let beside = kubeconfig.parent().unwrap_or(kubeconfig);
    for variable in ["XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP", "XDG_CONFIG_HOME", "APPDATA"] {
        command.env(variable, beside);
    }
    // Not among the sockets, as on no system.
    for variable in ["XDG_STATE_HOME", "LOCALAPPDATA"] {
        command.env(variable, beside.join("state"));
    }
    command
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        // On Windows it is all that keeps one user's pipes apart from another's.
        .env("USERNAME", beside.file_name().unwrap_or_default())
        .env_remove("FORCE_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The variables that would lead the program astray.
const STRANGERS: [&str; 13] = [
    "KUBERNETES_SERVICE_HOST",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    "FORCE_COLOR",
    "CLICOLOR_FORCE",
    "NO_COLOR",
    "TERM",
];

/// The same in surroundings that hold nothing but this kubeconfig.
pub fn isolated_command(program: &Path, kubeconfig: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = command(program, kubeconfig, args);
    for name in STRANGERS {
        command.env_remove(name);
    }
    // No ~/.kube of whoever runs the tests.
    command.env("HOME", kubeconfig.parent().unwrap_or(kubeconfig)).kill_on_drop(true);
    command
}

impl Forward {
    /// Starts `program` for the user of `kubeconfig`.
    pub fn start(program: &Path, kubeconfig: &Path, args: &[impl AsRef<OsStr>]) -> io::Result<Self> {
        Self::spawn(command(program, kubeconfig, args))
    }

    /// Starts a command, see [`command()`]. A stream that it does not pipe is not read.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command.kill_on_drop(true).spawn()?;
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());
        Ok(Self { child, stdout, stderr })
    }

    /// The next line of stdout that contains `what`.
    pub async fn stdout(&mut self, what: &str) -> Result<String, Failure> {
        let found = self.stdout.find(what).await;
        found.map_err(|why| self.failure(&format!("{why} for {what:?} on stdout")))
    }

    /// The next line of stderr that contains `what`.
    pub async fn stderr(&mut self, what: &str) -> Result<String, Failure> {
        let found = self.stderr.find(what).await;
        found.map_err(|why| self.failure(&format!("{why} for {what:?} on stderr")))
    }

    /// Waits until one more local address works on 127.0.0.1, and returns its port.
    pub async fn port(&mut self) -> Result<u16, Failure> {
        let line = self.stdout(WORKS).await?;
        let port = line.strip_prefix(WORKS).and_then(|rest| rest.split_once(" -> ")?.0.parse().ok());
        port.ok_or_else(|| self.failure(&format!("{line:?} names no port")))
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// All it has said on stdout so far.
    pub fn said_on_stdout(&self) -> String {
        self.stdout.text()
    }

    /// All it has said on stderr so far.
    pub fn said_on_stderr(&self) -> String {
        self.stderr.text()
    }

    /// Closes the reading end of its stdout.
    pub async fn close_stdout(&mut self) {
        self.stdout.close().await;
    }

    /// Closes the reading end of its stderr.
    pub async fn close_stderr(&mut self) {
        self.stderr.close().await;
    }

    /// Resolves when it has ended, by itself or otherwise.
    pub async fn exited(&mut self) {
        // An error is a child that cannot be waited for any more.
        let _ = self.child.wait().await;
    }

    /// Whether it has ended.
    pub fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, by the name that `kill` knows: `INT`, `TERM`.
    pub async fn signal(&self, name: &str) -> io::Result<()> {
        let Some(pid) = self.child.id() else { return Err(io::Error::other("it has ended already")) };
        // The shell's own, which is there where no program of the name is.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await?;
        if sent.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} {pid} failed"))) }
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Result<Ended, Failure> {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            return Err(self.failure("waited in vain for its end"));
        };
        let status = status.map_err(|error| self.failure(&error.to_string()))?;
        self.stdout.end().await;
        self.stderr.end().await;
        Ok(Ended { code: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() })
    }

    /// Sends a signal and waits for the end.
    pub async fn end(self, signal: &str) -> Result<Ended, Failure> {
        self.signal(signal).await.map_err(|error| self.failure(&error.to_string()))?;
        self.wait().await
    }

    fn failure(&self, why: &str) -> Failure {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        Failure(format!("{why}\n--- stdout\n{stdout}--- stderr\n{stderr}---"))
    }
}

/// One stream of the program, as far as it has been read.
struct Output {
    lines: watch::Receiver<Vec<String>>,
    /// Lines that were looked at.
    seen: usize,
    reader: JoinHandle<()>,
}

impl Output {
    fn of(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let (sender, lines) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let Some(stream) = stream else { return };
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Self { lines, seen: 0, reader }
    }

    /// Reads no more of it, and closes it.
    async fn close(&mut self) {
        self.reader.abort();
        let _ = (&mut self.reader).await;
    }

    /// The next line that contains `what`, or how looking for it ended.
    async fn find(&mut self, what: &str) -> Result<String, &'static str> {
        let search = async {
            loop {
                let open = self.lines.has_changed().is_ok();
                let found = {
                    let lines = self.lines.borrow_and_update();
                    let at = lines[self.seen..].iter().position(|line| line.contains(what));
                    self.seen = at.map_or(lines.len(), |at| self.seen + at + 1);
                    at.map(|_| lines[self.seen - 1].clone())
                };
                match found {
                    Some(line) => return Ok(line),
                    None if !open => return Err("ended while waited"),
                    // An error is the end, which the next turn sees.
                    None => _ = self.lines.changed().await,
                }
            }
        };
        timeout(PATIENCE, search).await.unwrap_or(Err("waited in vain"))
    }

    /// Waits for the end of the stream. Somebody the program started may have it open for longer.
    async fn end(&mut self) {
        if !self.reader.is_finished() {
            let _ = timeout(PATIENCE, &mut self.reader).await;
        }
    }

    fn text(&self) -> String {
        self.lines.borrow().iter().flat_map(|line| [line, "\n"]).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As it is for people: a test that fails with it shows this.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Forward {
        Forward::start(Path::new("sh"), Path::new("/nowhere"), &["-c", script]).unwrap()
    }

    #[tokio::test]
    async fn lines_are_found_in_order_and_the_end_is_told() {
        let mut forward = shell(
            "echo 'Forwarding from 127.0.0.1:8080 -> 80'; echo a >&2; echo $KUBECONFIG; echo b >&2; echo a2 >&2; exit 3",
        );
        assert_eq!(forward.port().await.unwrap(), 8080);
        assert_eq!(forward.stderr("a").await.unwrap(), "a");
        assert_eq!(forward.stderr("a").await.unwrap(), "a2");
        let failure = forward.stderr("b").await.unwrap_err().to_string();
        assert!(failure.starts_with("ended while waited for \"b\" on stderr\n--- stdout\nForw"), "{failure}");
        let ended = forward.wait().await.unwrap();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), "a\nb\na2\n"));
        assert!(ended.stdout.ends_with("/nowhere\n"));
    }

    #[tokio::test]
    async fn signals_arrive() {
        let mut forward = shell("trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.01; done");
        forward.stdout("on").await.unwrap();
        let ended = forward.end("TERM").await.unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "on\nbye\n"));
    }
}
