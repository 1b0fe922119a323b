//! The real kubectls of this machine.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The kubectl on the PATH, and the versions beside it, oldest first.
///
/// Without any the caller has nothing to do, which is said where it is seen; with `FWD_REQUIRE_KUBECTL` set it is a
/// failure.
pub fn all() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(kubectl) = env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|k| k.is_file())
    else {
        assert!(env::var_os("FWD_REQUIRE_KUBECTL").is_none(), "no kubectl, and FWD_REQUIRE_KUBECTL is set");
        // Not with `eprintln`: what a passing test prints so is swallowed.
        let _ = std::io::stderr().write_all(b"SKIPPED: no kubectl\n");
        return Vec::new();
    };
    let real = kubectl.canonicalize().unwrap_or_else(|_| kubectl.clone());
    let beside = real.parent().unwrap_or(Path::new("/")).read_dir();
    let is_version = |name: &OsStr| name.to_string_lossy().starts_with("kubectl.1.");
    let mut found: Vec<PathBuf> = beside
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(is_version))
        .collect();
    found.sort();
    found.push(kubectl);
    found
}

/// The newest kubectl that is there: of several versions in a folder, the one named `kubectl` may only choose among the others.
pub fn newest() -> Option<PathBuf> {
    let mut all = all();
    let named_kubectl = all.pop()?;
    Some(all.pop().unwrap_or(named_kubectl))
}
