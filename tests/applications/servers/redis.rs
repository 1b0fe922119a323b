//! Redis, which keeps nothing.

use std::path::PathBuf;

use rustix::process::Signal;
use sandbox::support::Failure;
use tokio::process::Command;

use super::{Directory, Server};
use crate::programs;

/// A server, and the clients' programs.
pub(crate) struct Redis {
    pub(crate) server: Server,
    cli: PathBuf,
    benchmark: PathBuf,
}

impl Redis {
    /// None where a program is missing.
    pub(crate) async fn start() -> Result<Option<Self>, Failure> {
        let names = ["redis-server", "redis-cli", "redis-benchmark"];
        let Some([program, cli, benchmark]) = programs::find(names) else { return Ok(None) };
        let server = Server::start(Directory::new("redis")?, Signal::TERM, |directory, port| {
            let mut command = directory.command(&program);
            command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
            Ok(command)
        });
        Ok(Some(Self { server: server.await?, cli, benchmark }))
    }

    /// `redis-cli` with these words.
    pub(crate) fn cli(&self, port: u16, words: &str) -> Command {
        client(&self.cli, port, words)
    }

    /// `redis-benchmark` with these words.
    pub(crate) fn benchmark(&self, port: u16, words: &str) -> Command {
        client(&self.benchmark, port, words)
    }
}

fn client(program: &PathBuf, port: u16, words: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(words.split_whitespace());
    command
}
