//! The programs of this machine that the suite runs.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parking_lot::Mutex;

/// All of them, or nothing, once it is said which are missing.
pub(crate) fn find<const N: usize>(names: [&str; N]) -> Option<[PathBuf; N]> {
    let found = names.map(|name| {
        let path = folders().map(|folder| folder.join(name)).find(|path| path.is_file());
        if path.is_none() {
            missing(name);
        }
        path
    });
    found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
}

/// The Python that has this module.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let has_it = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let found = folders().map(|folder| folder.join("python3")).filter(|path| path.is_file()).find(has_it);
    if found.is_none() {
        missing(&format!("python3 with {module}"));
    }
    found
}

/// Those of PATH, that of servers, which PATH may leave out, and Debian's of PostgreSQL, the newest first.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(number);
    let mut folders: Vec<_> = env::split_paths(&path).collect();
    folders.push(Path::new("/usr/sbin").into());
    folders.extend(versions.into_iter().rev().map(|version| version.join("bin")));
    folders.into_iter()
}

/// Says once of each that it is not there.
fn missing(name: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_required = env::var_os("FWD_REQUIRE_APPLICATIONS").is_some();
    assert!(!is_required, "no {name}, and FWD_REQUIRE_APPLICATIONS is set");
    if SAID.lock().insert(name.to_owned()) {
        // Not with `eprintln`: what a passing test prints so is swallowed.
        let _ = std::io::stderr().write_all(format!("SKIPPED: no {name}\n").as_bytes());
    }
}
