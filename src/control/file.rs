//! Files that are whole at every moment: what stands under their name is what was there, or all of what is new.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
};

/// A file about to take its place. Dropped before that, it leaves no trace.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    aside: PathBuf,
    path: PathBuf,
}

impl Replacement {
    /// Makes a new file beside `path`: that fails where `path` could not be written either.
    pub fn of(path: &Path) -> io::Result<Self> {
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
        let file = OpenOptions::new().write(true).create_new(true).open(&aside)?;
        Ok(Self { file, aside, path })
    }

    /// Puts `text` in place.
    pub fn put(mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.aside, &self.path)
    }
}

impl Drop for Replacement {
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
        Replacement::of(&path).unwrap().put("one").unwrap();
        let second = Replacement::of(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        drop(second);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        Replacement::of(&path).unwrap().put("two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(Replacement::of(&directory).is_err());
        assert!(Replacement::of(&directory.join("none").join("a")).is_err());
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
        Replacement::of(&link).unwrap().put("two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_dir_all(directory).unwrap();
    }
}
