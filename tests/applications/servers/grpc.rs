//! gRPC, in Python: `grpc_echo.py` is its server and its client.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use sandbox::support::Failure;
use tokio::process::Command;

use super::{Directory, Server};
use crate::programs;

/// A server, and what runs a client.
pub(crate) struct Grpc {
    pub(crate) server: Server,
    python: PathBuf,
}

impl Grpc {
    /// None where Python has no gRPC.
    pub(crate) async fn start() -> Result<Option<Self>, Failure> {
        let Some(python) = programs::python_with("grpc") else { return Ok(None) };
        let directory = Directory::new("grpc")?;
        // The servers' user may not see the sources.
        let script = directory.write("grpc_echo.py", include_str!("../grpc_echo.py"))?;
        let server = Server::start(directory, Signal::TERM, |directory, port| {
            let mut command = directory.command(&python);
            command.arg(&script).args(["serve", &port.to_string()]);
            Ok(command)
        });
        Ok(Some(Self { server: server.await?, python }))
    }

    /// A client of the server behind a local port.
    pub(crate) fn client(&self, port: u16) -> Command {
        let mut command = Command::new(&self.python);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications/grpc_echo.py");
        command.arg(script).args(["ask", &port.to_string()]);
        command
    }
}
