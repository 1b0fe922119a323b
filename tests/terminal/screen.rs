//! A terminal whose screen can be read: a tmux of its own.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use sandbox::support::Failure;
use sandbox::support::forward;
use tokio::process::Command;
use tokio::time::{interval, timeout};

/// How long anything may take to be seen.
const PATIENCE: Duration = Duration::from_secs(45);
/// How often the screen is looked at: tmux tells nobody what changes on it.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal in which the program runs.
pub(crate) struct Screen {
    /// Where its tmux listens: beside the kubeconfig, which is of one test.
    socket: PathBuf,
}

impl Screen {
    /// Starts the program for the user of `kubeconfig`. None where there is no tmux.
    pub(crate) async fn start(kubeconfig: &Path, line: &str) -> io::Result<Option<Self>> {
        if Command::new("tmux").arg("-V").output().await.is_err() {
            assert!(env::var_os("FWD_REQUIRE_TMUX").is_none(), "no tmux, and FWD_REQUIRE_TMUX is set");
            let _ = io::stderr().write_all(b"SKIPPED: no tmux\n");
            return Ok(None);
        }
        let screen = Self { socket: kubeconfig.with_file_name("tmux") };
        let args: Vec<_> = line.split_whitespace().collect();
        let program = forward::program(env!("CARGO_BIN_EXE_kubectl-fwd"));
        let command = forward::command(program, kubeconfig, &args);
        let command = command.as_std();
        let mut words = vec!["env".to_owned()];
        for (name, value) in command.get_envs() {
            let name = name.to_string_lossy();
            match value {
                Some(value) => words.push(format!("{name}={}", value.to_string_lossy())),
                None => words.extend(["-u".to_owned(), name.into_owned()]),
            }
        }
        // env takes its flags first.
        let (mut flags, values): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| !word.contains('='));
        flags.extend(values);
        flags.push(program.display().to_string());
        flags.extend(args.iter().map(|arg| (*arg).to_owned()));
        let start = ["new-session", "-d", "-x", "100", "-y", "24"];
        let mut tmux = screen.tmux();
        tmux.args(["set-option", "-g", "remain-on-exit", "on", ";"]).args(start).args(flags);
        run(tmux).await?;
        Ok(Some(screen))
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]);
        tmux.env("TERM", "xterm-256color").env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        tmux
    }

    async fn ask(&self, words: &[&str]) -> io::Result<String> {
        let mut tmux = self.tmux();
        tmux.args(words);
        Ok(String::from_utf8_lossy(&run(tmux).await?.stdout).into_owned())
    }

    /// What is on the screen when it is as wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_wanted: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let mut last = Vec::new();
        let look = async {
            let mut turn = interval(LOOK);
            loop {
                turn.tick().await;
                let text = self.ask(&["capture-pane", "-p"]).await?;
                last = text.lines().map(str::to_owned).collect();
                if is_wanted(&last) {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        match timeout(PATIENCE, look).await {
            Ok(seen) => seen?,
            Err(_) => {
                return Err(format!("waited in vain for {what}; the screen:\n{}", last.join("\n")).into());
            }
        }
        Ok(last)
    }

    /// The first line with this in it, once there is one.
    pub(crate) async fn shows(&self, what: &str) -> Result<String, Failure> {
        let lines = self.until(what, |lines| lines.iter().any(|line| line.contains(what))).await?;
        Ok(lines.into_iter().find(|line| line.contains(what)).unwrap_or_default())
    }

    /// Makes the terminal as large as that.
    pub(crate) async fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        self.ask(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).await.map(|_| ())
    }

    /// Types Ctrl-C.
    pub(crate) async fn interrupt(&self) -> io::Result<()> {
        self.ask(&["send-keys", "C-c"]).await.map(|_| ())
    }

    /// What is left on the screen when the program has ended.
    pub(crate) async fn ended(&self) -> Result<Vec<String>, Failure> {
        let end = async {
            let mut turn = interval(LOOK);
            while self.ask(&["display-message", "-p", "#{pane_dead}"]).await?.trim() != "1" {
                turn.tick().await;
            }
            Ok::<_, io::Error>(())
        };
        match timeout(PATIENCE, end).await {
            Ok(ended) => ended?,
            Err(_) => return self.until("its end", |_| false).await,
        }
        self.until("what is left", |_| true).await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // With the server the program gets a hangup.
        let mut tmux = std::process::Command::new("tmux");
        let _ = tmux.arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

async fn run(mut tmux: Command) -> io::Result<Output> {
    let output = tmux.output().await?;
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
