//! Who may read a file.

use std::path::Path;

/// Whether every user of this machine can read a file: it is open to all, and so is each directory on the way to it.
#[cfg(unix)]
pub fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    const OTHERS_READ: u32 = 0o004;
    const OTHERS_SEARCH: u32 = 0o001;
    let Ok(path) = path.canonicalize() else { return false };
    let has = |path: &Path, bit| path.metadata().is_ok_and(|found| found.permissions().mode() & bit != 0);
    has(&path, OTHERS_READ) && path.ancestors().skip(1).all(|directory| has(directory, OTHERS_SEARCH))
}

/// Windows has lists of who may do what, which are the user's own in the user's own directory.
#[cfg(not(unix))]
pub fn is_world_readable(_: &Path) -> bool {
    false
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_closed_directory_keeps_its_files() {
        let directory = std::env::temp_dir().join(format!("kubectl-fwd-readable-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("config");
        fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let with = |directory_mode, file_mode| {
            set(&file, file_mode);
            set(&directory, directory_mode);
            is_world_readable(&file)
        };
        // macOS gives each user a temporary directory that is closed to others.
        let closed = fs::metadata(std::env::temp_dir()).unwrap().permissions().mode() & 0o001 == 0;
        assert!(with(0o755, 0o644) || closed);
        assert!(!with(0o755, 0o600) && !with(0o700, 0o644));
        assert!(!is_world_readable(Path::new("/no/such/file")));
        fs::remove_dir_all(directory).unwrap();
    }
}
