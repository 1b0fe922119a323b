//! The right to change what is in the user's configuration directory, for one process at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::document::unwritable;
use crate::{error::Fatal, system::wait_limit::WaitLimit};

/// Held by a process that reads a file in order to write it. It has no content, and none that is there is touched.
const NAME: &str = ".lock";

/// Others hold it for as long as a small file takes to be written. One that holds it for this long hangs.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// Between one try and the next: the system can wait for a lock, but not for so long and no longer.
const PAUSE: Duration = Duration::from_millis(20);

/// Exclusive right to change the files, until it is dropped.
#[derive(Debug)]
pub struct SetLock(#[expect(dead_code, reason = "held for its drop")] File);

impl SetLock {
    /// Takes the lock of a directory, which is made where it is not there. `say` is called when that takes long.
    pub(super) fn take(
        directory: &Path,
        limit: WaitLimit,
        notify: impl FnOnce(&Path),
    ) -> Result<Self, Fatal> {
        let path = directory.join(NAME);
        let unwritable = |error: io::Error| unwritable(&path, &error);
        system::make(directory).map_err(unwritable)?;
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(not_ours(&path));
        }
        let file = open(&path).map_err(unwritable)?;
        let (begin, mut notify) = (Instant::now(), Some(notify));
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = begin.elapsed();
            if waited >= limit.timeout {
                return Err(held(&path, limit.timeout));
            }
            if waited >= limit.notice_after
                && let Some(notify) = notify.take()
            {
                notify(&path);
            }
            thread::sleep(PAUSE.min(limit.timeout.saturating_sub(waited)));
        }
    }
}

/// Opens the file itself and never what a link of that name leads to.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    system::not_through_links(&mut options);
    options.open(path)
}

fn not_ours(path: &Path) -> Fatal {
    let what = format!("cannot lock {}, so nothing is written", path.display());
    Fatal::new("fwd::set::unwritable", what)
        .because("it is a link, or not a regular file")
        .help("see whose it is (ls -l), then remove it")
}

fn held(path: &Path, most: Duration) -> Fatal {
    let what = format!("another process holds the lock {}, so nothing is written", path.display());
    Fatal::new("fwd::set::locked", what)
        .because(format!("it has held it for more than {} s", most.as_secs()))
        .help("it may be suspended or hang: find the other kubectl-fwd process with ps, and end it")
}

#[cfg(unix)]
mod system {
    use std::{
        fs::{DirBuilder, OpenOptions},
        io,
        os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
        path::Path,
    };

    use rustix::fs::OFlags;

    /// For this user alone, as the XDG specification has it for what is made in these places.
    pub(super) fn make(directory: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)
    }

    pub(super) fn not_through_links(options: &mut OpenOptions) {
        // Nor does opening wait for the other end of a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
}

#[cfg(windows)]
mod system {
    use std::{
        fs::{self, OpenOptions},
        io,
        os::windows::fs::OpenOptionsExt as _,
        path::Path,
    };

    /// Under the user's profile, which is the user's alone.
    pub(super) fn make(directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)
    }

    /// As the system's headers have it: open the link itself.
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

    pub(super) fn not_through_links(options: &mut OpenOptions) {
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn directory() -> PathBuf {
        std::env::temp_dir().join(format!("kubectl-fwd-lock-{}-{:x}", std::process::id(), fastrand::u32(..)))
    }

    fn take(directory: &Path, limit: WaitLimit) -> Result<SetLock, Fatal> {
        SetLock::take(directory, limit, |_| {})
    }

    #[test]
    fn one_at_a_time_and_not_for_ever() {
        let directory = directory();
        let (mut told, limit) = (Vec::new(), WaitLimit::new(WITHIN));
        let first = SetLock::take(&directory, limit, |_| panic!("it is free")).unwrap();
        let short = WaitLimit { notice_after: Duration::ZERO, timeout: Duration::from_millis(30) };
        let refused = SetLock::take(&directory, short, |path| told.push(path.to_owned())).unwrap_err();
        assert_eq!((refused.code(), told), ("fwd::set::locked", vec![directory.join(NAME)]));
        drop(first);
        take(&directory, limit).unwrap();
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_there_stays() {
        let directory = directory();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(NAME), "somebody's").unwrap();
        take(&directory, WaitLimit::new(WITHIN)).unwrap();
        assert_eq!(fs::read_to_string(directory.join(NAME)).unwrap(), "somebody's");
        fs::remove_dir_all(directory).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let directory = directory();
        fs::create_dir(&directory).unwrap();
        let elsewhere = directory.join("elsewhere");
        for there in [false, true] {
            if there {
                fs::write(&elsewhere, "mine").unwrap();
            }
            std::os::unix::fs::symlink(&elsewhere, directory.join(NAME)).unwrap();
            let refused = take(&directory, WaitLimit::new(WITHIN)).unwrap_err();
            assert!(refused.causes().any(|why| why.contains("it is a link, or")), "{refused:?}");
            assert_eq!(fs::read_to_string(&elsewhere).ok().as_deref(), there.then_some("mine"));
            fs::remove_file(directory.join(NAME)).unwrap();
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
