//! A shell in a terminal of tmux's: keys and clicks go in, the screen is read.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::interval;

use super::client::{Failure, Test, within};
use super::world::World;

/// Set where a missing tmux is a failure and no reason to skip.
const REQUIRED: &str = "FWD_REQUIRE_TMUX";

/// How often the screen is looked at: tmux tells nobody what changes on it.
const LOOK: Duration = Duration::from_millis(20);

/// The shell's prompt.
pub const PROMPT: &str = "$> ";

/// A terminal.
pub struct Terminal {
    /// Where its tmux listens: beside the kubeconfig, which is of one test.
    socket: PathBuf,
}

impl Terminal {
    /// Opens one of this size, with a shell in which `$FWD` is the program. None where there is no tmux.
    pub async fn open(world: &World, columns: u16, rows: u16) -> Result<Option<Self>, Failure> {
        let found = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if !found.is_ok_and(|status| status.success()) {
            if env::var_os(REQUIRED).is_some() {
                return Err(format!("there is no tmux, and {REQUIRED} is set").into());
            }
            let _ = writeln!(io::stderr(), "skipped: there is no tmux");
            return Ok(None);
        }
        let terminal = Self { socket: world.path("tmux") };
        let mut start = terminal.command(&["-f", "/dev/null", "new-session", "-d"]);
        start.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        for (name, value) in world.command("").as_std().get_envs() {
            match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        start
            .env("FWD", world.command("").as_std().get_program())
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8");
        start.current_dir(world.sandbox.directory()).env_remove("NO_COLOR").env_remove("TMUX");
        // A shell that is not interactive forgets the prompt.
        start.arg(format!("exec env PS1='{PROMPT}' bash --norc --noprofile -i"));
        let started = start.output().await?;
        if !started.status.success() {
            return Err(String::from_utf8_lossy(&started.stderr).into());
        }
        terminal.shows(PROMPT.trim_end()).await?;
        Ok(Some(terminal))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(args).stdin(Stdio::null());
        command
    }

    /// What a command of tmux says.
    pub async fn tmux(&self, args: &[&str]) -> Result<String, Failure> {
        let output = within("tmux", self.command(args).output()).await??;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Presses keys, by tmux's names of them: `d`, `Enter`, `C-z`.
    pub async fn press(&self, keys: &[&str]) -> Test {
        self.tmux(&[&["send-keys"], keys].concat()).await.map(drop)
    }

    /// Types a line.
    pub async fn enter(&self, line: &str) -> Test {
        self.tmux(&["send-keys", "-l", line]).await?;
        self.press(&["Enter"]).await
    }

    /// Clicks on the first place with this text.
    pub async fn click(&self, text: &str) -> Test {
        let (column, row) = self.place(text).await?;
        // Pressed and let go, as xterm's SGR mode writes it.
        let click = format!("\u{1b}[<0;{column};{row}M\u{1b}[<0;{column};{row}m");
        self.tmux(&["send-keys", "-l", &click]).await.map(drop)
    }

    /// The column and the row of a text, from 1.
    async fn place(&self, text: &str) -> Result<(usize, usize), Failure> {
        let screen = self.shows(text).await?;
        let (row, line) =
            screen.lines().enumerate().find(|(_, line)| line.contains(text)).ok_or("it is gone again")?;
        let before = line.split(text).next().unwrap_or_default();
        Ok((before.chars().count() + 1, row + 1))
    }

    /// What is on the screen.
    pub async fn screen(&self) -> Result<String, Failure> {
        self.tmux(&["capture-pane", "-p"]).await
    }

    /// Looks until the screen is as it should be.
    pub async fn becomes(
        &self,
        what: impl Display,
        enough: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let mut turn = interval(LOOK);
        let look = async {
            loop {
                turn.tick().await;
                let screen = self.screen().await?;
                if enough(&screen) {
                    return Ok::<_, Failure>(screen);
                }
            }
        };
        match within(&what.to_string(), look).await {
            Ok(seen) => seen,
            Err(why) => Err(format!("{why}; the screen is:\n{}", self.screen().await?).into()),
        }
    }

    /// Waits until the screen has this text.
    pub async fn shows(&self, text: &str) -> Result<String, Failure> {
        self.becomes(format!("{text:?}"), |screen| screen.contains(text)).await
    }

    /// The first line with this text, once there is one.
    pub async fn line(&self, text: &str) -> Result<String, Failure> {
        let screen = self.shows(text).await?;
        Ok(screen.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned())
    }

    /// Makes the terminal as large as that.
    pub async fn resize(&self, columns: u16, rows: u16) -> Test {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).await.map(drop)
    }

    /// Presses Ctrl-C, and waits for the shell; what the program has left on the screen.
    pub async fn interrupt(&self) -> Result<String, Failure> {
        self.press(&["C-c"]).await?;
        self.shell().await
    }

    /// Waits until the shell asks for a command; what is on the screen then.
    pub async fn shell(&self) -> Result<String, Failure> {
        let is_back = |screen: &str| screen.trim_end().ends_with(PROMPT.trim_end());
        self.becomes("the shell", is_back).await
    }

    /// Waits until the program has the terminal no more, and sees that it is as it was: the usual screen, with a cursor, without
    /// the mouse, and with lines as the shell wants them.
    pub async fn is_given_back(&self) -> Test {
        let flags = "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{mouse_sgr_flag}";
        let usual = async {
            let mut turn = interval(LOOK);
            while self.tmux(&["display-message", "-p", flags]).await?.trim() != "0 1 0 0" {
                turn.tick().await;
            }
            Ok::<_, Failure>(())
        };
        within("the usual screen", usual).await??;
        self.enter("clear; stty -a | grep -c -e '-icanon' -e '-echo ' -e '-isig'; echo DO''NE").await?;
        let screen = self.shows("DONE").await?;
        assert!(
            screen.lines().any(|line| line == "0"),
            "the mode of the terminal is not the usual:\n{screen}"
        );
        Ok(())
    }

    /// Starts the program with these words, and waits until the screen has this text.
    pub async fn run(&self, line: &str, shows: &str) -> Test {
        self.enter(&format!("$FWD {line}")).await?;
        self.shows(shows).await.map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut end = std::process::Command::new("tmux");
        let end = end.arg("-S").arg(&self.socket).arg("kill-server");
        let _ = end.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
