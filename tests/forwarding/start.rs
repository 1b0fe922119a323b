//! How a test starts the program, as one of the cluster's users.

use std::io;
use std::path::Path;

use sandbox::Sandbox;
use sandbox::support::Failure;
use sandbox::support::forward::{self, Forward};

pub(crate) fn program() -> &'static Path {
    forward::program(env!("CARGO_BIN_EXE_kubectl-fwd"))
}

/// Starts a forward as the administrator.
pub(crate) fn fwd(sandbox: &Sandbox, line: &str) -> io::Result<Forward> {
    fwd_as(sandbox, "admin", line)
}

/// Starts a forward as one of the users.
pub(crate) fn fwd_as(sandbox: &Sandbox, user: &str, line: &str) -> io::Result<Forward> {
    let args: Vec<_> = line.split_whitespace().collect();
    Forward::start(program(), &sandbox.kubeconfig(user), &args)
}

/// Starts a forward as the administrator, and gives its local port once it works.
pub(crate) async fn working(sandbox: &Sandbox, line: &str) -> Result<(Forward, u16), Failure> {
    let mut forward = fwd(sandbox, line)?;
    let port = forward.port().await?;
    Ok((forward, port))
}
