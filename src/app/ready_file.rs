//! `--ready-file`: for scripts, which wait for a file rather than for a line.
//!
//! The file is there, whole, from the moment when every forward works, until the process ends in order. One that a
//! killed process left is removed at the start, so that nobody takes it for ours. One whose process still runs is its
//! own until ours takes its place, and a start that fails leaves it alone.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Fatal, io_message},
    model::forward::PortForward,
    system::file::{AtomicFile, FileGuard, is_held},
};

/// The largest file that is looked into: a thousand forwards are one megabyte.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What it holds.
#[derive(Serialize)]
struct ReadyFileContent<'a> {
    pid: u32,
    forwards: &'a [PortForward],
}

/// What a ready file has.
#[derive(Deserialize)]
struct ReadReadyFile {
    #[expect(dead_code, reason = "its being there is what counts")]
    pid: u32,
    #[expect(dead_code, reason = "its being there is what counts")]
    forwards: Vec<PortForward>,
}

/// The file, to be written, or written.
#[derive(Debug)]
pub(super) struct ReadyFile {
    path: PathBuf,
    /// Not yet in its place.
    next: Option<AtomicFile>,
    /// In its place.
    written: Option<FileGuard>,
}

impl ReadyFile {
    /// Makes sure that it can be written, and that no dead process's is there.
    pub(super) fn prepare(path: &Path) -> Result<Self, Fatal> {
        if is_a_ready_file(path)? {
            // Where a link leads to is where it is written.
            let at = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            if !is_held(&at).map_err(|error| failed(path, &error))? {
                fs::remove_file(&at).map_err(|error| failed(path, &error))?;
            }
        }
        let next = AtomicFile::of(path).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), next: Some(next), written: None })
    }

    /// Tells that all of these work.
    pub(super) fn publish(&mut self, forwards: &[PortForward]) -> Result<(), Fatal> {
        let Some(next) = self.next.take() else { return Ok(()) };
        // What came there meanwhile is somebody's, unless it is one as well.
        is_a_ready_file(&self.path)?;
        let content = ReadyFileContent { pid: process::id(), forwards };
        let text = serde_json::to_string_pretty(&content).unwrap_or_default() + "\n";
        let written = next.commit_guarded(&text).map_err(|error| failed(&self.path, &error))?;
        self.written = Some(written);
        Ok(())
    }
}

/// Whether there is one. What is something else is an error.
fn is_a_ready_file(path: &Path) -> Result<bool, Fatal> {
    let not_ours = |why: &str| {
        Err(Fatal::new("fwd::ready::not_ours", format!("{} is not a ready file", path.display()))
            .because(why)
            .help("give --ready-file a path of its own: the file is overwritten, and removed at the end"))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(path, &error)),
        Ok(found) if found.is_dir() => return Err(failed(path, &io::ErrorKind::IsADirectory.into())),
        // A named pipe waits for a writer when it is opened, and a device may have no end.
        Ok(found) if !found.is_file() => {
            return not_ours("it is a pipe or a device, which cannot be replaced");
        }
        Ok(_) => {}
    }
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
    match read {
        // Its process has ended since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path, &error)),
        Ok(_) if serde_json::from_slice::<ReadReadyFile>(&text).is_ok() => Ok(true),
        Ok(_) => not_ours("it exists and contains something else"),
    }
}

fn failed(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::ready::unwritable", format!("cannot write the ready file {}", path.display()))
        .because(io_message(error))
        .help("its directory has to exist, and you need the right to write there")
}
