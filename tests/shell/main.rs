//! What shells and scripts ask of the built program: completion, by kubectl and by the scripts of shells, and the version.
//!
//! What is looked up has all the time that a busy machine needs, but for the tests that are about the limit.

#![cfg(unix)]

mod forwards;
mod install;
mod kubectl;
mod limits;
mod scripts;
mod version;

use std::path::PathBuf;

use sandbox::support::{Failure, World};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// More time for looking up than a test has.
const NO_LIMIT: (&str, &str) = ("KUBECTL_FWD_COMPLETION_TIMEOUT", "5m");

/// A directory for the PATH in which the program is as krew puts it there: one link.
fn plugins(world: &World) -> Result<PathBuf, Failure> {
    let directory = world.path("plugins");
    std::fs::create_dir_all(&directory)?;
    let link = directory.join("kubectl-fwd");
    if !link.exists() {
        std::os::unix::fs::symlink(sandbox::support::forward::program(PROGRAM), &link)?;
    }
    Ok(directory)
}

/// The PATH with that directory in front.
fn path(world: &World) -> Result<std::ffi::OsString, Failure> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let directories = [plugins(world)?].into_iter().chain(std::env::split_paths(&rest));
    Ok(std::env::join_paths(directories)?)
}

/// The candidates of an answer, without what they are.
fn values(answer: &str) -> Vec<&str> {
    let candidates = answer.lines().filter(|line| !line.starts_with(':') && !line.is_empty());
    candidates.map(|line| line.split('\t').next().unwrap_or_default()).collect()
}
