//! The log of a process in the background: every line it would have printed, with the time, in a file of bounded size.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{Timestamp, Unit};

/// The largest a log gets: weeks of a forward's ordinary life, and nothing to a disk.
pub const MAX_BYTES: u64 = 1024 * 1024;
/// What is left of one that got there: the newer part, which tells what led to now.
const KEPT_BYTES: u64 = MAX_BYTES / 2;

/// A log, to be written to from several sides.
#[derive(Debug, Clone)]
pub struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    /// A line begins with the next byte.
    fresh: bool,
}

impl Log {
    /// Begins a new one, which nobody else may read.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self(Arc::new(Mutex::new(Inner {
            path: path.to_owned(),
            file: options.open(path)?,
            fresh: true,
        }))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A line half written is no reason to write no more.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.lock();
        let mut text = Vec::with_capacity(bytes.len() + 32);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if inner.fresh {
                let now = Timestamp::now().round(Unit::Millisecond).unwrap_or_default();
                write!(text, "{now} ")?;
            }
            text.extend_from_slice(line);
            inner.fresh = line.ends_with(b"\n");
        }
        inner.file.write_all(&text)?;
        if inner.fresh {
            inner.shorten()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    /// Cuts off the older part of a log that is too large. In place: others have the same file open, to write to it or
    /// to follow it.
    fn shorten(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length <= MAX_BYTES {
            return Ok(());
        }
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(length - KEPT_BYTES))?;
        self.file.read_to_end(&mut rest)?;
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // On Windows the right to append is not the right to cut.
        OpenOptions::new().write(true).open(&self.path)?.set_len(0)?;
        self.file.write_all(&rest[line..])
    }
}

/// Reads a log as it grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    read: u64,
    /// The last line that was read, to find the place again in a log that was shortened. Its time makes it unlike all
    /// others.
    last: Vec<u8>,
}

/// The longest line that is found again; behind a longer one a shortened log is read from its beginning.
const REMEMBERED: usize = 16 * 1024;

impl Tail {
    /// From the beginning.
    pub fn of(path: PathBuf) -> Self {
        Self { path, read: 0, last: Vec::new() }
    }

    /// What came since.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let mut new = Vec::new();
        if file.metadata()?.len() < self.read {
            file.read_to_end(&mut new)?;
            self.read = new.len() as u64;
            let place = |window: &[u8]| window == self.last.as_slice();
            if let Some(at) = new.windows(self.last.len().max(1)).rposition(place) {
                new.drain(..at + self.last.len());
            }
        } else {
            file.seek(SeekFrom::Start(self.read))?;
            self.read += file.read_to_end(&mut new)? as u64;
        }
        self.last.extend_from_slice(&new);
        let before = self.last.len().saturating_sub(1);
        let line = self.last[..before].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.last.drain(..line);
        if self.last.len() > REMEMBERED {
            self.last.clear();
        }
        Ok(new)
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
}
