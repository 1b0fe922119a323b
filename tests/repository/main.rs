//! What holds for the sources and the documents themselves: what is cited is there, the map is of what is there, and no
//! files import each other in a circle.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod citations;
mod codes;
mod dependencies;
mod facade;
mod imports;
mod map;
mod names;
mod rust;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file or folder of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A path as it stands in the repository.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    path.display().to_string().replace('\\', "/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files in `folder` and below whose names end so, sorted. What cargo builds is left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| path.extension().is_some_and(|extension| extension == *ending))
        {
            found.push(path);
        }
    }
    found
}
