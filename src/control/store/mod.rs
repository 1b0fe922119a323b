//! Sets: forwards that are remembered, in files that people keep, read and change.
//!
//! A set is a YAML file, `NAME.yaml` among the user's own or `fwd.yaml` with a project. `set` says what it holds,
//! [`read`] and `write` turn text into that and back, [`Sets`] knows the files. Nothing that gives access
//! to a cluster is ever written: a set names contexts, and the kubeconfig has the credentials.

mod auto;
mod read;
mod running;
mod set;
mod write;
mod yaml;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

pub use self::{
    read::{Reading, label, read},
    set::{Entry, Scope, Set},
    write::write,
};
use super::file::Replacement;
use crate::{
    error::{Excerpt, Fatal, Place, plain},
    policy::nearest,
};

/// The schema of the format, for editors.
pub const SCHEMA: &str = include_str!("../../../schemas/fwd.schema.json");

/// The largest set that is read: thousands of forwards. A file beyond it is no set.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Longest name of a set, so that it can be a file's everywhere.
const MAX_NAME: usize = 64;

const EXTENSION: &str = "yaml";

/// Held by whoever reads a set in order to write it.
const LOCK: &str = ".lock";

/// A set's text, and what to call it in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The path, or `stdin`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// The user's own sets.
#[derive(Debug, Clone)]
pub struct Sets {
    directory: PathBuf,
}

/// Exclusive right to change the sets, until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] File);

impl Document {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, Fatal> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        Self::from_reader(name, file)
    }

    /// Reads anything to its end.
    pub fn from_reader(name: String, reader: impl io::Read) -> Result<Self, Fatal> {
        let mut bytes = Vec::new();
        reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&name, &error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Fatal::new("fwd::set::too_large", format!("{name} is no set of forwards"))
                .because(format!("it is larger than {} KiB", MAX_BYTES / 1024))
                .help("is it the right file? 'kubectl fwd up --schema' prints what a set holds"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Fatal::new("fwd::set::not_utf8", format!("{name} is no set of forwards"))
                .because(format!("it is not UTF-8 text: byte {} is not", error.utf8_error().valid_up_to()))
                .help("save it as UTF-8, if it is the right file")
        })?;
        Ok(Self { name, text })
    }

    /// The error that tells every problem of the text.
    pub fn invalid(&self, problems: Vec<Place>, consequence: &str) -> Fatal {
        let what = match problems.len() {
            1 => format!("there is a problem in {}; {consequence}", self.name),
            count => format!("there are {count} problems in {}; {consequence}", self.name),
        };
        let excerpt = Excerpt { name: self.name.clone(), text: self.text.clone(), places: problems };
        Fatal::new("fwd::set::invalid", what).found_in(excerpt)
    }
}

impl Sets {
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
    pub fn load(&self, name: &str) -> Result<Document, Fatal> {
        let path = self.path(name)?;
        if path.exists() {
            return Document::open(&path);
        }
        let names = self.names();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let fatal = Fatal::new("fwd::set::unknown", format!("there is no set '{name}'"))
            .because(format!("{} does not exist", path.display()));
        Err(match names.as_slice() {
            [] => fatal.help(format!(
                "'kubectl fwd save {name}' makes it of the forwards that run; up -f FILE takes a file"
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

    /// Waits until nobody else changes the sets.
    pub fn lock(&self) -> Result<Lock, Fatal> {
        let path = self.directory.join(LOCK);
        let lock = || {
            fs::create_dir_all(&self.directory)?;
            let file = File::create(&path)?;
            file.lock()?;
            Ok(Lock(file))
        };
        lock().map_err(|error: io::Error| unwritable(&path, &error))
    }

    /// Applies a change to every set that keeps itself current. Returns what could not be done.
    pub fn keep_current(&self, change: impl Fn(&mut Set) -> bool) -> Vec<Fatal> {
        let auto = |name: &String| self.load(name).is_ok_and(|document| read(&document.text).set.auto);
        // The usual case, without a trace on the disk: there is none.
        let names: Vec<_> = self.names().into_iter().filter(auto).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let lock = match self.lock() {
            Ok(lock) => lock,
            Err(fatal) => return vec![fatal],
        };
        let update = |name: &String| {
            let document = self.load(name)?;
            let Reading { mut set, problems, .. } = read(&document.text);
            // What a person is in the middle of is not written over.
            if !problems.is_empty() {
                return Err(document.invalid(problems, "it is not kept current"));
            }
            if set.auto && change(&mut set) {
                self.save(&lock, name, &set, true)?;
            }
            Ok(())
        };
        names.iter().filter_map(|name| update(name).err()).collect()
    }

    /// Writes a set under its name; over one that is there only where that is wanted.
    pub fn save(&self, _lock: &Lock, name: &str, set: &Set, overwrite: bool) -> Result<PathBuf, Fatal> {
        let path = self.path(name)?;
        if path.exists() && !overwrite {
            return Err(Fatal::new("fwd::set::exists", format!("there is a set '{name}' already"))
                .because(format!("{} exists, perhaps with changes of yours", path.display()))
                .help(format!("choose another name, or replace it: kubectl fwd save {name} --force")));
        }
        let written = Replacement::of(&path).and_then(|file| file.put(&write(set)));
        written.map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }
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
        fatal.help("a file is given as -f FILE: kubectl fwd up -f fwd.yaml")
    } else {
        fatal.help(format!("it is a word of at most {MAX_NAME} letters, digits, '-', '_' and '.'"))
    })
}

fn unreadable(name: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::set::unreadable", format!("{name} cannot be read"))
        .because(plain(error))
        .help("is it the right file, and may you read it?")
}

fn unwritable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::set::unwritable", format!("{} cannot be written", path.display()))
        .because(plain(error))
        .help("its directory has to exist, and you need the right to write there")
}

#[cfg(test)]
mod tests;
