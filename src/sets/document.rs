//! The text of a set, from wherever it comes.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use super::limits::MAX_BYTES;
use crate::{
    error::{Excerpt, Fatal, Problem, io_message},
    system::wait_limit::WaitLimit,
};

/// How long a pipe, or whatever else is no regular file, may take to give all of a set: a program that makes one asks a
/// cluster or two, and a person who types one is done by then.
pub const WITHIN: Duration = Duration::from_secs(120);

/// Problems that are told of one text. Who has made more mends these first.
const MAX_PROBLEMS: usize = 100;

/// A set's text, and what to call it in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDocument {
    /// The path, or `stdin`.
    pub name: String,
    /// The text.
    pub text: String,
}

impl SetDocument {
    /// Reads a file. One that is no regular file may never come to an end: `say` is called when it takes long.
    pub fn open(path: &Path, limit: WaitLimit, notify: impl FnOnce()) -> Result<Self, Fatal> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let (name, path) = (path.display().to_string(), path.to_owned());
            // Opening a named pipe waits already.
            return Self::in_time(name, limit, notify, move || bounded(File::open(path)?));
        }
        Self::saved(path)
    }

    /// Reads a regular file, and nothing else.
    pub fn saved(path: &Path) -> Result<Self, Fatal> {
        let name = path.display().to_string();
        let read = || {
            if !fs::metadata(path)?.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            bounded(File::open(path)?)
        };
        let bytes = read().map_err(|error| unreadable(&name, &error))?;
        Self::of(name, bytes)
    }

    /// Reads anything to its end. `say` is called when that takes long.
    pub fn from_reader(
        name: String,
        reader: impl Read + Send + 'static,
        limit: WaitLimit,
        notify: impl FnOnce(),
    ) -> Result<Self, Fatal> {
        Self::in_time(name, limit, notify, move || bounded(reader))
    }

    fn in_time(
        name: String,
        limit: WaitLimit,
        notify: impl FnOnce(),
        read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Self, Fatal> {
        match limit.wait_for(read, notify) {
            Ok(Some(read)) => {
                let bytes = read.map_err(|error| unreadable(&name, &error))?;
                Self::of(name, bytes)
            }
            Ok(None) => {
                let seconds = limit.timeout.as_secs();
                Err(Fatal::new("fwd::set::unreadable", format!("cannot read {name}"))
                    .because(format!("it did not end within {seconds} s"))
                    .help("the program that writes it must close it; or write the set to a file first"))
            }
            Err(error) => Err(unreadable(&name, &error)),
        }
    }

    fn of(name: String, bytes: Vec<u8>) -> Result<Self, Fatal> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Fatal::new("fwd::set::too_large", format!("{name} is not a set of forwards"))
                .because(format!("it is larger than {} KiB", MAX_BYTES / 1024))
                .help("is it the right file? to see what a set holds, run: kubectl fwd up --schema"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Fatal::new("fwd::set::not_utf8", format!("{name} is not a set of forwards"))
                .because(format!("it is not UTF-8 text: byte {} is not", error.utf8_error().valid_up_to()))
                .help("save it as UTF-8, if it is the right file")
        })?;
        Ok(Self { name, text })
    }

    /// The error that tells the problems of the text.
    pub fn invalid(&self, mut problems: Vec<Problem>, consequence: &str) -> Fatal {
        let what = match problems.len() {
            1 => format!("there is a problem in {}; {consequence}", self.name),
            count if count > MAX_PROBLEMS => {
                format!(
                    "there are {count} problems in {}, of which these are the first; {consequence}",
                    self.name
                )
            }
            count => format!("there are {count} problems in {}; {consequence}", self.name),
        };
        problems.truncate(MAX_PROBLEMS);
        let excerpt = Excerpt { name: self.name.clone(), text: self.text.clone(), problems };
        Fatal::new("fwd::set::invalid", what).found_in(excerpt)
    }
}

/// All of it, or a byte more than a set may have.
fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(name: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::set::unreadable", format!("cannot read {name}"))
        .because(io_message(error))
        .help("is it the right file, and may you read it?")
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::set::unwritable", format!("cannot write {}", path.display()))
        .because(io_message(error))
        .help("its directory has to exist, and you need the right to write there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<String, String> {
        let bytes = io::Cursor::new(bytes.to_vec());
        SetDocument::from_reader("stdin".into(), bytes, WaitLimit::new(WITHIN), || {})
            .map(|document| document.name)
            .map_err(|fatal| fatal.code().to_owned())
    }

    #[test]
    fn what_is_no_set_at_all() {
        assert_eq!(open(b"\xff"), Err("fwd::set::not_utf8".to_owned()));
        assert_eq!(open(&vec![b'#'; MAX_BYTES as usize + 1]), Err("fwd::set::too_large".to_owned()));
        assert_eq!(open(b"forwards:"), Ok("stdin".into()));
        let missing = SetDocument::saved(Path::new("/no/such/fwd.yaml")).unwrap_err();
        assert_eq!((missing.code(), missing.causes().count()), ("fwd::set::unreadable", 1));
    }

    /// A writer that never closes: what is read has a word, and an end.
    #[test]
    fn what_never_ends() {
        let (reader, _writer) = io::pipe().unwrap();
        let short = WaitLimit { notice_after: Duration::ZERO, timeout: Duration::from_millis(20) };
        let mut told = false;
        let late = SetDocument::from_reader("stdin".into(), reader, short, || told = true).unwrap_err();
        assert!(told && late.causes().any(|why| why.contains("did not end")), "{late:?}");
        // Of what has no end at all as much is read as a set may have.
        let endless =
            SetDocument::from_reader("stdin".into(), io::repeat(b'#'), WaitLimit::new(WITHIN), || {});
        assert_eq!(endless.unwrap_err().code(), "fwd::set::too_large");
    }

    #[test]
    fn not_every_problem_is_told() {
        let document = SetDocument { name: "fwd.yaml".into(), text: String::new() };
        let place =
            Problem { offset: 0, length: 0, line: 1, column: 1, what: "wrong".to_owned(), help: None };
        let told = document.invalid(vec![place; 5000], "nothing is started");
        assert!(told.to_string().contains("5000 problems"), "{told}");
        assert_eq!(told.excerpt().map(|excerpt| excerpt.problems.len()), Some(MAX_PROBLEMS));
    }
}
