//! `kubectl-fwd` as the demo has it: built when it is needed, on the usual port.

use std::env;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::Failure;

/// The local port, unless it is taken.
const PORT: u16 = 8080;

/// Builds the program as this one was built, if cargo is at hand, and finds it beside this one.
pub(super) async fn build() -> Result<PathBuf, Failure> {
    let own = env::current_exe()?;
    let folder = own.parent().ok_or("this program has no folder")?;
    let program = folder.join(format!("kubectl-fwd{}", env::consts::EXE_SUFFIX));
    if let Some(cargo) = env::var_os("CARGO") {
        super::say("Building kubectl-fwd ...");
        let mut command = Command::new(cargo);
        // Both packages, so that shared dependencies get the features they have already: nothing is built twice.
        command.args(["build", "--package", "sandbox", "--package", "kubectl-fwd", "--bin", "kubectl-fwd"]);
        // A profile's folder has its name, but for `dev`.
        let profile = folder.file_name().and_then(|name| name.to_str()).filter(|name| *name != "debug");
        if let Some(profile) = profile {
            command.args(["--profile", profile]);
        }
        let built = command.stdin(Stdio::null()).status().await?;
        if !built.success() {
            return Err("kubectl-fwd does not build".into());
        }
    }
    if program.exists() { Ok(program) } else { Err(format!("{} is not there", program.display()).into()) }
}

/// The usual port, or any other.
pub(super) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}
