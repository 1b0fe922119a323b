//! The log of a process: every line it would have printed, with the time. That of a process in the background is of bounded
//! size; a file that the user has named (`--log`) is added to and never cut, for others may write to it.
//!
//! Nobody waits for the log, and nothing ends with it. Lines that cannot be written, to a disk that is full, are counted,
//! and the count is written once writing works again. A file that was moved or removed is begun anew.
//! Crates that rotate logs make numbered files, of which `logs -f` would follow the wrong one, and tell of nothing that was lost.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, Unit};
use parking_lot::Mutex;

use crate::error::io_message;

/// The largest a log gets: weeks of a forward's ordinary life, and nothing to a disk.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;
/// What is left of one that got there: the newer part, which tells what led to now.
const KEPT_BYTES: u64 = MAX_BYTES / 2;

/// A log, to be written to from several sides.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<LogFile>>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    owner: LogOwner,
    /// A line begins with the next byte.
    fresh: bool,
    /// Writes that failed, each about a line, and why the last one did.
    lost: Option<(u64, String)>,
}

impl Log {
    /// Begins a new one, which nobody else may read.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self::of(path, open(path, Which::New)?, LogOwner::Process))
    }

    /// Goes on in a file that the user has named, or begins it. Nobody else may read one that is begun.
    pub(super) fn append(path: &Path) -> io::Result<Self> {
        Ok(Self::of(path, open_named(path)?, LogOwner::User))
    }

    fn of(path: &Path, file: File, owner: LogOwner) -> Self {
        let inner = LogFile { path: path.to_owned(), file, owner, fresh: true, lost: None };
        Self(Arc::new(Mutex::new(inner)))
    }
}

/// Whose a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogOwner {
    /// This process's alone.
    Process,
    /// The user's: it may be a link, a pipe or a terminal, and hold other lines as well.
    User,
}

/// What is in the log, of which the last is what somebody wants to see.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(2 * MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Which file will do as a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// One that was not there before.
    New,
    /// One that is there as well.
    Any,
}

/// Opens a log to append to it. Nothing of that name is followed elsewhere.
fn open(path: &Path, which: Which) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).create_new(which == Which::New).read(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path)
}

/// Opens what the user has named, to append to it.
fn open_named(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe that nobody reads must not hold the process up; a line that finds no room is counted as lost.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

impl Write for Log {
    /// Always takes all of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock();
        if let Err(error) = inner.append(bytes) {
            let count = inner.lost.as_ref().map_or(0, |(count, _)| *count);
            inner.lost = Some((count + 1, io_message(&error)));
        }
        inner.fresh = bytes.ends_with(b"\n");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = Timestamp::now().round(Unit::Millisecond).unwrap_or_default();
        let mut text = Vec::with_capacity(bytes.len() + 32);
        if self.fresh {
            self.follow_the_path();
        }
        if let Some((count, why)) = &self.lost {
            // What was written last may have ended within a line.
            write!(text, "\n{now} ({count} lines could not be written: {why})\n")?;
        }
        let mut fresh = self.fresh || self.lost.is_some();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if fresh {
                write!(text, "{now} ")?;
            }
            text.extend_from_slice(line);
            fresh = line.ends_with(b"\n");
        }
        self.file.write_all(&text)?;
        self.lost = None;
        if fresh && self.owner == LogOwner::Process { self.shorten() } else { Ok(()) }
    }

    /// Goes on in a new file where ours was moved away or removed, as programs that rotate logs do: under its name is
    /// where it is looked for.
    fn follow_the_path(&mut self) {
        let there = match self.owner {
            LogOwner::Process => fs::symlink_metadata(&self.path),
            LogOwner::User => fs::metadata(&self.path),
        };
        let moved = match (&there, self.file.metadata()) {
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (Ok(there), Ok(own)) => !is_same(there, &own),
            (Ok(_), Err(_)) => false,
        };
        // Where that cannot be, what we have is better than nothing.
        let reopen = || match self.owner {
            LogOwner::Process => open(&self.path, if there.is_err() { Which::New } else { Which::Any }),
            LogOwner::User => open_named(&self.path),
        };
        if moved && let Ok(file) = reopen() {
            self.file = file;
        }
    }

    /// Cuts off the older part of a log that is too large. In place: others have the same file open, to write to it or
    /// to follow it.
    fn shorten(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length <= MAX_BYTES {
            return Ok(());
        }
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(length.saturating_sub(KEPT_BYTES)))?;
        Read::by_ref(&mut self.file).take(KEPT_BYTES).read_to_end(&mut rest)?;
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // On Windows the right to append is not the right to cut.
        self.file.set_len(0).or_else(|_| OpenOptions::new().write(true).open(&self.path)?.set_len(0))?;
        self.file.write_all(&rest[line..])
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file's number is not to be had there. One that is open is hardly ever moved.
#[cfg(windows)]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Reads a log as it grows.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    read: u64,
    /// The end of what was read, from the beginning of its last line on, or as much of that as is remembered. Where it
    /// does not stand at its place any more the log was cut, and by it the place is found again: a line's time makes
    /// it unlike all others.
    last: Vec<u8>,
}

/// The most that is remembered of a line.
const REMEMBERED: usize = 16 * 1024;

/// The most that is read of a log: all of it, whatever is written meanwhile.
const MAX_READ: u64 = 2 * MAX_BYTES;

impl Tail {
    /// From the beginning.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, read: 0, last: Vec::new() }
    }

    /// What came since.
    pub(super) fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let mut new = Vec::new();
        if self.goes_on_in(&mut file)? {
            file.seek(SeekFrom::Start(self.read))?;
            self.read += file.take(MAX_READ).read_to_end(&mut new)? as u64;
        } else {
            // Cut, or another file of that name. What of it was read before ends with the line that was read last.
            file.seek(SeekFrom::Start(0))?;
            file.take(MAX_READ).read_to_end(&mut new)?;
            self.read = new.len() as u64;
            let place = |window: &[u8]| window == self.last.as_slice();
            if let Some(at) = new.windows(self.last.len().max(1)).rposition(place) {
                new.drain(..at + self.last.len());
            } else {
                self.last.clear();
            }
        }
        self.remember(&new);
        Ok(new)
    }

    /// Whether what was read last is still at its place.
    fn goes_on_in(&self, file: &mut File) -> io::Result<bool> {
        let length = self.last.len() as u64;
        if file.metadata()?.len() < self.read {
            return Ok(false);
        }
        let mut there = Vec::new();
        file.seek(SeekFrom::Start(self.read.saturating_sub(length)))?;
        file.take(length).read_to_end(&mut there)?;
        Ok(there == self.last)
    }

    fn remember(&mut self, new: &[u8]) {
        self.last.extend_from_slice(new);
        let before = self.last.len().saturating_sub(1);
        let line = self.last[..before].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.last.drain(..line.max(self.last.len().saturating_sub(REMEMBERED)));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn path() -> PathBuf {
        std::env::temp_dir().join(format!("kubectl-fwd-log-{}-{:x}", std::process::id(), fastrand::u32(..)))
    }

    #[test]
    fn lines_with_their_time() {
        let path = path();
        let mut log = Log::begin(&path).unwrap();
        log.write_all(b"one\ntw").unwrap();
        log.write_all(b"o\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(lines.iter().map(|(_, line)| *line).collect::<Vec<_>>(), ["one", "two"]);
        assert!(lines.iter().all(|(time, _)| time.parse::<Timestamp>().is_ok()), "{text}");
        fs::remove_file(path).unwrap();
    }

    /// However much is said: it never gets larger than it may, ends with what was said last, and begins with a line.
    #[test]
    fn it_has_an_end() {
        let path = path();
        let mut log = Log::begin(&path).unwrap();
        let line = "x".repeat(9_999) + "\n";
        for count in 0..300 {
            log.write_all(format!("{count} {line}").as_bytes()).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= MAX_BYTES);
        }
        log.write_all(b"the last\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() as u64 >= KEPT_BYTES / 2 && text.ends_with("the last\n"));
        assert!(text.split_once(' ').is_some_and(|(time, _)| time.parse::<Timestamp>().is_ok()));
        fs::remove_file(path).unwrap();
    }

    /// Who follows a log sees every line once, also of those that are cut off while he does.
    /// What others wrote to the user's file stays, however long it is, and a link is followed.
    #[cfg(unix)]
    #[test]
    fn a_file_of_the_user() {
        use std::os::unix::fs::PermissionsExt as _;

        let (path, link) = (path(), path());
        writeln!(Log::append(&path).unwrap(), "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "x".repeat(MAX_BYTES as usize + 1) + "\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut log = Log::append(&link).unwrap();
        for word in ["two", "three"] {
            writeln!(log, "{word}").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("xx") && text.len() as u64 > MAX_BYTES && text.ends_with("Z three\n"));
        assert_eq!(text.lines().count(), 3);
        fs::remove_file(path).unwrap();
        fs::remove_file(link).unwrap();
        assert!(Log::append(Path::new("/no/such/directory/log")).is_err());
    }

    #[test]
    fn a_tail_misses_nothing() {
        let path = path();
        let mut log = Log::begin(&path).unwrap();
        let mut tail = Tail::of(path.clone());
        assert_eq!(tail.more().unwrap(), b"");
        let (mut seen, line) = (Vec::new(), "x".repeat(9_999));
        for count in 0..300 {
            writeln!(log, "{count} {line}").unwrap();
            if count % 7 == 0 {
                seen.extend(tail.more().unwrap());
            }
        }
        seen.extend(tail.more().unwrap());
        let counts = String::from_utf8(seen).unwrap();
        let counts: Vec<_> = counts.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(counts, (0..300).map(|count| count.to_string()).collect::<Vec<_>>());
        fs::remove_file(path).unwrap();
    }

    /// A disk that is full for a while costs the lines of that while, and no others.
    #[test]
    fn a_failed_write_is_not_the_end() {
        let path = path();
        let mut log = Log::begin(&path).unwrap();
        writeln!(log, "before").unwrap();
        // This one cannot be written to.
        let good = std::mem::replace(&mut log.0.lock().file, File::open(&path).unwrap());
        writeln!(log, "lost").unwrap();
        writeln!(log, "lost as well").unwrap();
        log.0.lock().file = good;
        writeln!(log, "after").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(" (2 lines could not be written: "), "{text}");
        assert!(
            text.contains("Z before\n") && text.ends_with("Z after\n") && !text.contains("Z lost"),
            "{text}"
        );
        fs::remove_file(path).unwrap();
    }

    /// Removed, or moved with another in its place: what is written is where it is looked for.
    #[cfg(unix)]
    #[test]
    fn it_follows_its_path() {
        let (path, old) = (path(), path());
        let mut log = Log::begin(&path).unwrap();
        let mut tail = Tail::of(path.clone());
        let mut seen = |log: &mut Log, word: &str| {
            writeln!(log, "{word}").unwrap();
            String::from_utf8(tail.more().unwrap()).unwrap()
        };
        assert!(seen(&mut log, "one").ends_with(" one\n"));
        fs::remove_file(&path).unwrap();
        assert!(seen(&mut log, "two").ends_with(" two\n"));
        fs::rename(&path, &old).unwrap();
        fs::write(&path, "").unwrap();
        let three = seen(&mut log, "three");
        assert!(three.ends_with(" three\n") && three.lines().count() == 1, "{three}");
        fs::remove_file(path).unwrap();
        fs::remove_file(old).unwrap();
    }

    /// A log that was cut and has grown past the place since is not taken for one that only grew.
    #[test]
    fn a_tail_notices_a_cut() {
        let path = path();
        let mut tail = Tail::of(path.clone());
        fs::write(&path, "1 one\n2 two\n").unwrap();
        assert_eq!(tail.more().unwrap(), b"1 one\n2 two\n");
        assert_eq!(tail.more().unwrap(), b"");
        for (there, new) in [
            ("3 three, which is longer\n4 four\n", "3 three, which is longer\n4 four\n"),
            (
                "4 four\n5 five, which makes it longer than it was before\n",
                "5 five, which makes it longer than it was before\n",
            ),
            ("", ""),
            ("6 six\n", "6 six\n"),
            ("7 se", "7 se"),
            ("7 seven\n", "ven\n"),
        ] {
            fs::write(&path, there).unwrap();
            assert_eq!(String::from_utf8(tail.more().unwrap()).unwrap(), new);
        }
        let long = format!("8 {}\n", "x".repeat(3 * REMEMBERED));
        fs::write(&path, &long).unwrap();
        assert_eq!(tail.more().unwrap(), long.as_bytes());
        fs::write(&path, format!("{}9\n", &long[100..])).unwrap();
        assert_eq!(tail.more().unwrap(), b"9\n", "by its end it is known");
        fs::remove_file(path).unwrap();
    }
}
