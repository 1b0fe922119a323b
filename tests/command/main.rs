//! `-- COMMAND`, end to end: the built program beside commands that are scripts, on a cluster of its own for every test.
//!
//! Nothing here sleeps. A script says when it has got somewhere, and goes on when it reads a line.

#![cfg(unix)]

#[cfg(target_os = "linux")]
mod browser;
mod ending;
mod running;
mod starts;
#[cfg(target_os = "linux")]
mod terminal;

use sandbox::support::{Failure, World, forward::Forward, within};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe::{Sender, pipe},
    process::Command,
};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// A script that says its port, reads a line, says that and ends.
const SCRIPT: &str = "echo port $FWD_PORT; read line; echo said $line; exit 3";

/// The program with a command of these words.
fn beside(world: &World, line: &str, words: &[&str]) -> Command {
    let mut command = world.command(line);
    command.arg("--").args(words);
    command
}

/// The same with a script, which can be written to, and whose stdout is read.
fn script(world: &World, line: &str, script: &str) -> Result<(Forward, Sender), Failure> {
    let mut command = beside(world, line, &["sh", "-c", script]);
    let (stdin, its_end) = pipe()?;
    command.stdin(its_end.into_blocking_fd()?);
    Ok((Forward::spawn(command)?, stdin))
}

/// The port that [`SCRIPT`] says.
async fn port(forward: &mut Forward) -> Result<u16, Failure> {
    let line = forward.stdout("port ").await?;
    Ok(line.trim_start_matches("port ").parse()?)
}

/// Writes a line to the command.
async fn say(stdin: &mut Sender, line: &str) -> Result<(), Failure> {
    Ok(within("the command to read", stdin.write_all(format!("{line}\n").as_bytes())).await??)
}
