//! `--ready-file`: for scripts, which wait for a file rather than for a line.
//!
//! The file is there, whole, from the moment when every forward works, until the process ends in order. One that a
//! killed process left is removed at the start, so that nobody takes it for ours.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use serde::{Deserialize, Serialize};

use super::file::Replacement;
use crate::{
    error::{Fatal, plain},
    model::forward::PortForward,
};

/// What it holds.
#[derive(Serialize)]
struct Content<'a> {
    pid: u32,
    forwards: &'a [PortForward],
}

/// What a file has that is ours.
#[derive(Deserialize)]
struct Ours {
    pid: u32,
    #[expect(dead_code, reason = "its being there is what counts")]
    forwards: Vec<PortForward>,
}

/// The file, to be written, or written.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
    /// Not yet in its place.
    next: Option<Replacement>,
}

impl ReadyFile {
    /// Makes sure that it can be written, and that it is not there yet.
    pub fn prepare(path: &Path) -> Result<Self, Fatal> {
        match fs::read(path) {
            Ok(text) if serde_json::from_slice::<Ours>(&text).is_ok() => {
                fs::remove_file(path).map_err(|error| failed(path, &error))?;
            }
            Ok(_) => {
                return Err(Fatal::new(
                    "fwd::ready::not_ours",
                    format!("{} is no ready file", path.display()),
                )
                .because("it exists, and something else is in it")
                .help("give --ready-file a path of its own: the file is replaced, and removed at the end"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, &error)),
        }
        let next = Replacement::of(path).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), next: Some(next) })
    }

    /// Tells that all of these work.
    pub fn publish(&mut self, forwards: &[PortForward]) -> Result<(), Fatal> {
        let Some(next) = self.next.take() else { return Ok(()) };
        let content = Content { pid: process::id(), forwards };
        let text = serde_json::to_string_pretty(&content).unwrap_or_default() + "\n";
        next.put(&text).map_err(|error| failed(&self.path, &error))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let ours = fs::read(&self.path).ok().and_then(|text| serde_json::from_slice::<Ours>(&text).ok());
        // Another process may have been told the same path since.
        if ours.is_some_and(|ours| ours.pid == process::id()) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::ready::unwritable", format!("the ready file {} cannot be written", path.display()))
        .because(plain(error))
        .help("its directory has to exist, and you need the right to write there")
}
