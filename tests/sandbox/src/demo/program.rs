//! `kubectl-fwd` as the demo has it: built when it is needed, on the usual port.

use std::env;
use std::ffi::OsStr;
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
        let mut command = bare(&cargo);
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

/// Cargo as it is started from a shell. To what it runs it tells of the package that this is, and the scripts that build
/// our dependencies ask for these variables: with the package's values all that stands on them would be built anew.
fn bare(cargo: &OsStr) -> Command {
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(tells_of_a_package)) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo sets this variable for what it runs. The others of its name are how it is configured.
fn tells_of_a_package(variable: &str) -> bool {
    const OF_A_PACKAGE: [&str; 5] =
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE"];
    const OTHERS: [&str; 3] = ["CARGO", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    OF_A_PACKAGE.iter().any(|prefix| variable.starts_with(prefix)) || OTHERS.contains(&variable)
}

/// The usual port, or any other.
pub(super) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These tests are run by cargo as the demo is, and so have the same variables.
    #[test]
    fn the_inner_cargo_hears_nothing_of_the_outer_one() {
        let command = bare(OsStr::new("cargo"));
        let removed: Vec<_> =
            command.as_std().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(removed.contains(&OsStr::new(name)), "{name} is left");
        }
        for kept in
            ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "CARGO_PROFILE_DEV_DEBUG", "RUSTFLAGS"]
        {
            assert!(!tells_of_a_package(kept), "{kept} is how cargo is configured");
        }
    }
}
