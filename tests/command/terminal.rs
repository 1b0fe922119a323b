//! A command in a terminal: `script` gives the shell one that we were started from, and what is typed is written to it.

use std::process::Stdio;

use sandbox::support::{Failure, Test, World, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout},
};

use crate::PROGRAM;

const CTRL_C: &str = "\u{3}";
const CTRL_Z: &str = "\u{1a}";

/// A shell in a terminal.
struct Terminal {
    _script: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    /// All that was shown, and how much of it was looked at.
    shown: String,
    seen: usize,
}

impl Terminal {
    fn open(world: &World) -> Result<Self, Failure> {
        let mut script = world.in_terminal("bash --norc --noprofile -i");
        script.env("FWD", PROGRAM).env("TERM", "dumb").env("PS1", "> ").env("SHELL", "/bin/sh");
        script.stdin(Stdio::piped());
        let mut script = script.spawn()?;
        let keyboard = script.stdin.take().ok_or("no stdin")?;
        let screen = script.stdout.take().ok_or("no stdout")?;
        Ok(Self { _script: script, keyboard, screen, shown: String::new(), seen: 0 })
    }

    async fn press(&mut self, keys: &str) -> Test {
        Ok(within("the terminal", self.keyboard.write_all(keys.as_bytes())).await??)
    }

    async fn enter(&mut self, line: &str) -> Test {
        self.press(&format!("{line}\n")).await
    }

    /// The process that says [`READY`].
    async fn ready(&mut self) -> Result<String, Failure> {
        self.shows("READY ").await?;
        let begin = self.seen;
        self.shows(".").await?;
        Ok(self.shown[begin..self.seen - 1].to_owned())
    }

    /// Waits until this is shown, behind what was waited for before.
    async fn shows(&mut self, what: &str) -> Test {
        let look = async {
            loop {
                if let Some(at) = self.shown[self.seen..].find(what) {
                    self.seen += at + what.len();
                    return Ok::<_, Failure>(());
                }
                let mut bytes = [0; 4096];
                let read = self.screen.read(&mut bytes).await?;
                if read == 0 {
                    return Err("the terminal was closed".into());
                }
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        };
        let shown = within(&format!("{what:?} to be shown"), look).await;
        shown.and_then(|shown| shown).map_err(|why| format!("{why}; there is:\n{}", self.shown).into())
    }
}

/// Waits until a process is stopped. One that was reading takes what is typed until it is, whoever that is for.
async fn stopped(pid: &str) -> Test {
    let stat = format!("/proc/{pid}/stat");
    within("the command to be stopped", async {
        while !std::fs::read_to_string(&stat)?.contains(") T ") {
            tokio::task::yield_now().await;
        }
        Ok::<_, Failure>(())
    })
    .await?
}

/// What is typed is shown as well, so what is waited for is put together by the shell: `READ''Y`.
const READY: &str = "echo READ''Y $$.";

/// Says that it was continued. What is typed before that may be lost.
const BACK: &str = "trap \"echo BA''CK\" CONT";

/// Reads a line, whichever signals come.
const READ: &str = "until read l; do :; done; echo HE''ARD $l";

/// Ctrl-C is the command's, once, and neither the forward's nor ours.
#[tokio::test]
async fn ctrl_c() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut terminal = Terminal::open(&world)?;
    let trap = "trap \"echo G''OT\" INT";
    terminal.enter(&format!("$FWD svc/api :80 -- bash -c '{trap}; {READY}; for x in 1 2 3; do read l; echo LI''NE $l; done; exit 9'")).await?;
    terminal.shows("READY ").await?;
    // A moment after the start, in which a signal is passed on in any case.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let from = terminal.shown.len();
    terminal.press(CTRL_C).await?;
    terminal.shows("GOT").await?;
    for line in ["a", "b", "c"] {
        terminal.enter(line).await?;
        terminal.shows("LINE").await?;
    }
    terminal.enter("echo EN''DED $?").await?;
    terminal.shows("ENDED 9").await?;
    assert_eq!(terminal.shown[from..].matches("GOT").count(), 1, "{}", terminal.shown);
    assert!(!terminal.shown.contains("Forwarding from"), "{}", terminal.shown);
    Ok(())
}

/// What no one catches ends the command, and so us: with its status.
#[tokio::test]
async fn ctrl_c_without_a_trap() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut terminal = Terminal::open(&world)?;
    terminal.enter(&format!("$FWD svc/api :80 -- bash -c '{READY}; exec sleep 1000'")).await?;
    terminal.shows("READY ").await?;
    terminal.press(CTRL_C).await?;
    terminal.shows("> ").await?;
    terminal.enter("echo EN''DED $?").await?;
    terminal.shows("ENDED 130").await?;
    Ok(())
}

/// Ctrl-Z stops the job, `fg` continues it, and the command reads on.
#[tokio::test]
async fn ctrl_z_and_fg() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut terminal = Terminal::open(&world)?;
    terminal.enter(&format!("$FWD svc/api :80 -- sh -c '{BACK}; {READY}; {READ}; exit 6'")).await?;
    let pid = terminal.ready().await?;
    for word in ["one", "two"] {
        terminal.press(CTRL_Z).await?;
        terminal.shows("Stopped").await?;
        terminal.shows("\n> ").await?;
        stopped(&pid).await?;
        terminal.enter(&format!("echo {word}-S''HELL")).await?;
        terminal.shows(&format!("{word}-SHELL")).await?;
        terminal.enter("fg").await?;
        terminal.shows("BACK").await?;
    }
    terminal.enter("a line").await?;
    terminal.shows("HEARD a line").await?;
    terminal.enter("echo EN''DED $?").await?;
    terminal.shows("ENDED 6").await?;
    assert_eq!(terminal.shown.matches("BACK").count(), 2, "{}", terminal.shown);
    Ok(())
}

/// A command that stops itself alone: the shell gets its terminal back.
#[tokio::test]
async fn one_that_stops_itself() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut terminal = Terminal::open(&world)?;
    terminal
        .enter(&format!(
            "$FWD svc/api :80 -- sh -c '{READY}; kill -STOP $$; echo CONT''INUED; read l; echo HE''ARD $l'"
        ))
        .await?;
    terminal.shows("READY ").await?;
    terminal.shows("Stopped").await?;
    terminal.shows("\n> ").await?;
    terminal.enter("echo SH''ELL").await?;
    terminal.shows("SHELL").await?;
    terminal.enter("fg").await?;
    terminal.shows("CONTINUED").await?;
    terminal.enter("more").await?;
    terminal.shows("HEARD more").await
}

/// An interactive shell has a group of its own and the terminal: its jobs are its own, and so is Ctrl-C.
#[tokio::test]
async fn a_shell() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut terminal = Terminal::open(&world)?;
    terminal.enter("$FWD svc/api :80 -- bash --norc --noprofile -i").await?;
    terminal.enter(&format!("PS1='in> '; {READY}")).await?;
    terminal.shows("READY ").await?;
    terminal.shows("in> ").await?;
    // What is typed before a program reads is lost with the signal.
    terminal.enter("sh -c \"echo SLE''EPS; exec sleep 1000\"").await?;
    terminal.shows("SLEEPS").await?;
    terminal.press(CTRL_C).await?;
    terminal.shows("in> ").await?;
    terminal.enter(&format!("sh -c '{BACK}; {READY}; {READ}'")).await?;
    let pid = terminal.ready().await?;
    terminal.press(CTRL_Z).await?;
    terminal.shows("Stopped").await?;
    terminal.shows("in> ").await?;
    stopped(&pid).await?;
    terminal.enter("fg").await?;
    terminal.shows("BACK").await?;
    terminal.enter("a line").await?;
    terminal.shows("HEARD a line").await?;
    terminal.shows("in> ").await?;
    terminal.enter("suspend").await?;
    terminal.shows("Stopped").await?;
    terminal.shows("\n> ").await?;
    terminal.enter("echo OU''TSIDE").await?;
    terminal.shows("OUTSIDE").await?;
    terminal.enter("fg").await?;
    terminal.enter("echo INS''IDE; exit 5").await?;
    terminal.shows("INSIDE").await?;
    terminal.enter("echo EN''DED $?").await?;
    terminal.shows("ENDED 5").await
}
