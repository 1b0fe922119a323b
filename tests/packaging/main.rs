//! What ships, held to the rules of those who take it: krew's for the manifest and its archives, goreleaser's schema, and
//! for workflows what keeps them safe. What they name is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod goreleaser;
#[cfg(unix)]
mod install;
mod krew;
mod manifest;
mod workflows;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A broken variant of a good text: the first `from` becomes `to`.
fn broken(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to break: {from:?}");
    text.replacen(from, to, 1)
}
