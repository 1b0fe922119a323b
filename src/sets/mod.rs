//! F4, sets: forwards that are remembered, in files that people keep, read and change.
//!
//! A set is a YAML file, `NAME.yaml` among the user's own or `fwd.yaml` with a project. `set` says what it holds,
//! `read` and `write` turn text into that and back, [`SetStore`] knows the files. Nothing that gives access
//! to a cluster is ever written: a set names contexts, and the kubeconfig has the credentials.

mod auto;
mod document;
mod limits;
mod lock;
mod matching;
mod read;
mod running;
mod set;
mod trust;
mod write;
mod yaml;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    document::unwritable,
    limits::{MAX_BYTES, too_large, too_many},
};
pub use self::{
    document::{SetDocument, WITHIN},
    limits::MAX_FORWARDS,
    lock::SetLock,
    matching::{SetMatch, SetPlace, matches},
    read::{ReadSet, read},
    set::{EntryOptions, ForwardSet, SetEntry},
    trust::digest,
    write::write,
};
use crate::{
    error::Fatal,
    policy::nearest,
    system::{file::AtomicFile, wait_limit::WaitLimit},
};

/// The schema of the format, for editors.
pub const SCHEMA: &str = include_str!("../../schemas/fwd.schema.json");

/// Longest name of a set, so that it can be a file's everywhere.
const MAX_NAME: usize = 64;

const EXTENSION: &str = "yaml";

/// What becomes of a set that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced.
    Replace,
}

/// The user's own sets.
#[derive(Debug, Clone)]
pub struct SetStore {
    directory: PathBuf,
}

impl SetStore {
    /// Those in the user's configuration directory.
    pub fn new(configuration: &Path) -> Self {
        Self { directory: configuration.join("kubectl-fwd").join("sets") }
    }

    /// The file of a set. A name is a word and never a path.
    pub fn path(&self, name: &str) -> Result<PathBuf, Fatal> {
        check_name(name)?;
        Ok(self.directory.join(format!("{name}.{EXTENSION}")))
    }

    /// Reads the set of this name.
    pub fn load(&self, name: &str) -> Result<SetDocument, Fatal> {
        let path = self.path(name)?;
        if path.exists() {
            return SetDocument::saved(&path);
        }
        let names = self.names();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let fatal = Fatal::new("fwd::set::unknown", format!("there is no set '{name}'"))
            .because(format!("{} does not exist", path.display()));
        Err(match names.as_slice() {
            [] => fatal.help(format!(
                "to make it of the forwards that run: kubectl fwd save {name}\nfor a set in a file: kubectl fwd up -f FILE"
            )),
            names => fatal.help(nearest::suggestion(name, "sets", names)),
        })
    }

    /// The names of all sets, sorted.
    pub fn names(&self) -> Vec<String> {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut names: Vec<_> = files
            .filter_map(|file| {
                let path = PathBuf::from(file.file_name());
                let name = path.file_stem()?.to_str()?;
                let is_set = path.extension()? == EXTENSION && check_name(name).is_ok();
                is_set.then(|| name.to_owned())
            })
            .collect();
        names.sort();
        names
    }

    /// Waits until nobody else changes the sets, and calls `say` when that takes long.
    pub fn lock(&self, notify: impl FnOnce(&Path)) -> Result<SetLock, Fatal> {
        SetLock::take(&self.directory, WaitLimit::new(lock::WITHIN), notify)
    }

    /// Applies a change to every set that keeps itself current: it is told the set's own directory, which the paths in it
    /// start from. Returns what could not be done.
    pub fn update_auto_sets(
        &self,
        notify: impl FnOnce(&Path),
        change: impl Fn(&mut ForwardSet, &Path) -> bool,
    ) -> Vec<Fatal> {
        let auto = |name: &String| self.load(name).is_ok_and(|document| read(&document.text).set.auto);
        // The usual case, without a trace on the disk: there is none.
        let names: Vec<_> = self.names().into_iter().filter(auto).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let lock = match self.lock(notify) {
            Ok(lock) => lock,
            Err(fatal) => return vec![fatal],
        };
        let update = |name: &String| {
            let document = self.load(name)?;
            let ReadSet { mut set, problems, .. } = read(&document.text);
            // What a person is in the middle of is not written over.
            if !problems.is_empty() {
                return Err(document.invalid(problems, "it is not kept current"));
            }
            if set.auto && change(&mut set, &self.directory) {
                self.save(&lock, name, &set, Existing::Replace)?;
            }
            Ok(())
        };
        names.iter().filter_map(|name| update(name).err()).collect()
    }

    /// Writes a set under its name; over one that is there only where that is wanted.
    pub fn save(
        &self,
        _lock: &SetLock,
        name: &str,
        set: &ForwardSet,
        existing: Existing,
    ) -> Result<PathBuf, Fatal> {
        let path = self.path(name)?;
        if path.exists() && existing == Existing::Keep {
            return Err(Fatal::new("fwd::set::exists", format!("the set '{name}' exists already"))
                .because(format!("{} may have changes of yours", path.display()))
                .help(format!("choose another name, or replace it: kubectl fwd save {name} --force")));
        }
        let text = text(set)?;
        let written = AtomicFile::of(&path).and_then(|file| file.commit(&text));
        written.map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }
}

/// The text of a set, unless it could not be read again.
pub fn text(set: &ForwardSet) -> Result<String, Fatal> {
    if set.forwards() > MAX_FORWARDS {
        return Err(too_many(set.forwards()));
    }
    let text = write(set);
    if text.len() as u64 > MAX_BYTES {
        return Err(too_large(format!("it would be larger than {} KiB", MAX_BYTES / 1024)));
    }
    Ok(text)
}

/// Refuses names that are a path, hidden, an option, or a device of Windows.
fn check_name(name: &str) -> Result<(), Fatal> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let device = DEVICES.contains(&stem)
        || port.is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit());
    let file = Path::new(&lower).extension().is_some_and(|end| end == EXTENSION || end == "yml");
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= MAX_NAME
        && !name.ends_with('.');
    if good && !device && !file {
        return Ok(());
    }
    let fatal = Fatal::new("fwd::usage::bad_set_name", format!("'{name}' cannot be the name of a set"));
    Err(if file || name.contains(['/', '\\']) {
        fatal.help("to use a file: kubectl fwd up -f fwd.yaml")
    } else {
        fatal.help(format!("use at most {MAX_NAME} letters, digits, '-', '_' and '.'"))
    })
}

#[cfg(test)]
mod tests;
