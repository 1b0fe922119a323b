//! Files that are whole at every moment: what stands under their name is what was there, or all of what is new.
//!
//! A crate for temporary or atomic files would do the creation and the renaming, a dozen lines of this, and bring a source of
//! randomness along. What is left is the rest: links are followed to what they lead to, and some files are there, and locked, for
//! as long as their process is.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
};

/// A file about to take its place. Dropped before that, it leaves no trace.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    aside: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Makes a new file beside `path`: that fails where `path` could not be written either.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::with(path, OpenOptions::new())
    }

    /// The same for one that only its user may read.
    pub fn private(path: &Path) -> io::Result<Self> {
        #[cfg_attr(not(unix), expect(unused_mut, reason = "elsewhere the directory decides"))]
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::with(path, options)
    }

    fn with(path: &Path, mut options: OpenOptions) -> io::Result<Self> {
        // Who keeps it elsewhere and links to it wants it written there.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        // What a killed process of this number left behind is nobody's.
        hidden.push(format!(".{}-{:x}.tmp", process::id(), fastrand::u32(..)));
        let aside = path.with_file_name(hidden);
        let file = options.write(true).create_new(true).open(&aside)?;
        Ok(Self { file, aside, path })
    }

    /// Puts `text` in place.
    pub fn commit(mut self, text: &str) -> io::Result<()> {
        self.write(text)?;
        fs::rename(&self.aside, &self.path)
    }

    /// Puts `text` in place, to be removed when what is returned is dropped.
    pub fn commit_guarded(mut self, text: &str) -> io::Result<FileGuard> {
        self.write(text)?;
        let file = self.file.try_clone()?;
        held::mark(&file);
        fs::rename(&self.aside, &self.path)?;
        held::HeldFile::of(file, &self.path)
            .map(|mark| FileGuard { path: self.path.clone(), mark: Some(mark) })
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }
}

/// A file that is there for as long as this is. Another that stands in its place by then stays.
#[derive(Debug)]
pub struct FileGuard {
    path: PathBuf,
    mark: Option<held::HeldFile>,
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.take() {
            mark.remove(&self.path);
        }
    }
}

/// Whether the process that put a file in place for now is still there.
pub fn is_held(path: &Path) -> io::Result<bool> {
    held::is(path)
}

/// The file is locked, and known again by its inode: no other has the same while it is open.
#[cfg(unix)]
mod held {
    use std::{
        fs::{self, File, TryLockError},
        io,
        path::Path,
    };

    use crate::system::identity::FileIdentity;

    #[derive(Debug)]
    pub(super) struct HeldFile(File);

    /// Before anybody can see it. Where the file system knows no locks the next process takes it for a dead one's.
    pub(super) fn mark(file: &File) {
        let _ = file.try_lock();
    }

    pub(super) fn is(path: &Path) -> io::Result<bool> {
        Ok(matches!(File::open(path)?.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    impl HeldFile {
        #[expect(clippy::unnecessary_wraps, reason = "on the other system it opens a file")]
        pub(super) fn of(file: File, _: &Path) -> io::Result<Self> {
            Ok(Self(file))
        }

        pub(super) fn remove(self, path: &Path) {
            let ours = self.0.metadata().ok().as_ref().map(FileIdentity::of);
            if ours.is_some() && FileIdentity::at(path) == ours {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The file is open in such a way that nobody else may replace or remove it.
#[cfg(not(unix))]
mod held {
    use std::{
        fs::{self, File, OpenOptions},
        io,
        os::windows::fs::OpenOptionsExt as _,
        path::Path,
    };

    // As the system's headers have them.
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_WRITE: u32 = 2;
    const FILE_SHARE_DELETE: u32 = 4;
    const DELETE: u32 = 0x0001_0000;
    const ERROR_SHARING_VIOLATION: i32 = 32;

    #[derive(Debug)]
    pub(super) struct HeldFile(File);

    pub(super) fn mark(_: &File) {}

    pub(super) fn is(path: &Path) -> io::Result<bool> {
        let shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
        match OpenOptions::new().access_mode(DELETE).share_mode(shared).open(path) {
            Ok(_) => Ok(false),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(true),
            Err(error) => Err(error),
        }
    }

    impl HeldFile {
        /// The handle by which it was written must be gone: it may be renamed by it.
        pub(super) fn of(written: File, path: &Path) -> io::Result<Self> {
            drop(written);
            let shared = FILE_SHARE_READ | FILE_SHARE_WRITE;
            OpenOptions::new().read(true).share_mode(shared).open(path).map(Self)
        }

        pub(super) fn remove(self, path: &Path) {
            drop(self.0);
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // It is gone already where it took its place.
        let _ = fs::remove_file(&self.aside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("kubectl-fwd-file-{}-{:x}", process::id(), fastrand::u32(..)));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn all_or_nothing() {
        let directory = directory();
        let path = directory.join("a.yaml");
        AtomicFile::of(&path).unwrap().commit("one").unwrap();
        let second = AtomicFile::of(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        drop(second);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        AtomicFile::of(&path).unwrap().commit("two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(AtomicFile::of(&directory).is_err());
        assert!(AtomicFile::of(&directory.join("none").join("a")).is_err());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one() {
        let directory = directory();
        let (link, real) = (directory.join("link"), directory.join("real"));
        fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        AtomicFile::of(&link).unwrap().commit("two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_dir_all(directory).unwrap();
    }
}
