//! A command that runs as long as this process: it has the terminal, every signal is passed on to it, and its exit status
//! is ours. Nothing here knows what the process does meanwhile.
//!
//! The command stays in our process group. So the terminal, the shell that we were started from and a pipeline that we are
//! part of see one job: Ctrl-C and Ctrl-Z reach the command from the terminal itself, and a shell that is the command makes
//! a group of its own and takes the terminal, as it does everywhere.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;
#[cfg(unix)]
mod terminal;

use std::{
    ffi::{OsStr, OsString},
    io,
    process::ExitStatus,
};

use tokio::process;

use self::system::CommandSystem;
pub(super) use self::system::open_files;
use crate::error::{Fatal, io_message};

/// What a shell gives to a command that it does not find.
const NOT_FOUND: u8 = 127;
const NOT_FOUND_CODE: &str = "fwd::command::not_found";
/// What a shell gives to one that it finds and cannot execute.
const NOT_EXECUTABLE: u8 = 126;
const NOT_EXECUTABLE_CODE: &str = "fwd::command::not_executable";

/// A command, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// Variables that its environment has beside ours, or, without a value, has not.
    pub variables: Vec<(String, Option<String>)>,
    /// How many files it may have open, where that is less than we may.
    pub open_files: Option<u64>,
}

/// A command that runs.
pub(super) struct RunningCommand {
    program: String,
    child: process::Child,
    system: CommandSystem,
}

/// The exit status of an error.
pub(super) fn exit_status(fatal: &Fatal) -> u8 {
    match fatal.code() {
        NOT_FOUND_CODE => NOT_FOUND,
        NOT_EXECUTABLE_CODE => NOT_EXECUTABLE,
        _ => 1,
    }
}

impl RunningCommand {
    /// Starts it, with our stdin, stdout and stderr. From here on signals are its own.
    pub(super) fn start(line: &CommandLine) -> Result<Self, Fatal> {
        let program = line.program.to_string_lossy().into_owned();
        // Before it starts, so that no signal is lost in between.
        let system = CommandSystem::listen().map_err(|error| failed(&program, &error))?;
        let mut command = process::Command::new(&line.program);
        command.args(&line.arguments);
        for (name, value) in &line.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = system::spawn(&mut command, line.open_files)
            .map_err(|error| not_started(&line.program, &error))?;
        Ok(Self { program, child, system })
    }

    /// Waits for its end, and passes signals on meanwhile. Returns its exit status, as a shell has it. May be dropped and
    /// begun again.
    pub(super) async fn wait(&mut self) -> Result<u8, Fatal> {
        let Self { program, child, system } = self;
        let pid = child.id();
        let ended = tokio::select! {
            // What was heard before its end is passed on before it.
            biased;
            never = system.pass_on(pid) => match never {},
            ended = child.wait() => ended,
        };
        ended.map(status).map_err(|error| failed(program, &error))
    }

    /// Asks it to end.
    pub(super) fn terminate(&mut self) {
        self.system.terminate(&mut self.child);
    }
}

/// The status as a shell has it: its own, or 128 and the signal that ended it.
fn status(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    // Windows has larger ones. What is not 0 must not become 0.
    status.code().map_or(u8::MAX, |code| u8::try_from(code).unwrap_or(u8::MAX))
}

fn failed(program: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::command::failed", format!("the command {program} cannot be run"))
        .because(io_message(error))
}

fn not_started(program: &OsStr, error: &io::Error) -> Fatal {
    let name = program.to_string_lossy();
    let fatal = match error.kind() {
        io::ErrorKind::NotFound => Fatal::new(NOT_FOUND_CODE, format!("the command {name} was not found"))
            .help("is it installed, and its directory in PATH? A command of a shell is run as: -- sh -c 'COMMAND'"),
        _ => Fatal::new(NOT_EXECUTABLE_CODE, format!("the command {name} cannot be executed"))
            .help("a program needs the right to be executed (chmod +x), and a script its interpreter in the first line"),
    };
    fatal.because(io_message(error))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> CommandLine {
        CommandLine {
            program: words[0].into(),
            arguments: words[1..].iter().map(Into::into).collect(),
            open_files: None,
            variables: vec![("FWD_TEST".into(), Some("x".into())), ("HOME".into(), None)],
        }
    }

    async fn run(words: &[&str]) -> Result<u8, Fatal> {
        RunningCommand::start(&line(words))?.wait().await
    }

    #[tokio::test]
    async fn statuses() {
        for (script, expected) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -KILL $$", 137),
            ("kill -TERM $$", 143),
            ("test \"$FWD_TEST${HOME-unset}\" = xunset", 0),
        ] {
            assert_eq!(run(&["sh", "-c", script]).await, Ok(expected), "{script}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started() {
        for (program, expected) in [
            ("kubectl-fwd-no-such-command", 127),
            ("/no/such/command", 127),
            ("/", 126),
            ("/etc/passwd", 126),
        ] {
            let fatal = run(&[program]).await.expect_err(program);
            assert_eq!(exit_status(&fatal), expected, "{program}: {fatal:?}");
            assert!(fatal.advice().is_some());
        }
        assert_eq!(exit_status(&Fatal::new("fwd::x", "x")), 1);
    }

    #[tokio::test]
    async fn one_that_is_asked_to_end() {
        let mut command = RunningCommand::start(&line(&["sleep", "1000"])).unwrap();
        command.terminate();
        assert_eq!(command.wait().await, Ok(143));
    }
}
