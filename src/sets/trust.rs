//! Sets of others that the user has agreed to: by their path, and by a digest of all that was agreed to. With any change
//! to that they are asked about again.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::{
    SetStore,
    document::{SetDocument, unwritable},
    lock::SetLock,
};
use crate::{error::Fatal, system::file::AtomicFile};

/// Sets that are remembered. With one more the oldest is forgotten, and asked about again.
const MAX: usize = 256;

const FILE: &str = "trusted.json";

/// One that was agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TrustedSet {
    set: String,
    digest: String,
}

/// A digest of everything that is agreed to.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        // So that no part can pass for the end of another.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    base64::engine::general_purpose::STANDARD.encode(digest.finish())
}

impl SetStore {
    /// Whether a file lies among the user's own sets.
    pub fn owns(&self, file: &Path) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(file).zip(real(&self.directory)).is_some_and(|(file, own)| file.starts_with(own))
    }

    /// Whether this was agreed to.
    pub fn trusts(&self, set: &Path, digest: &str) -> bool {
        self.known().iter().any(|known| known.set == name(set) && known.digest == digest)
    }

    /// Remembers that it was. `say` is called when others take long to write.
    pub fn trust(&self, set: &Path, digest: String, notify: impl FnOnce(&Path)) -> Result<(), Fatal> {
        let _lock: SetLock = self.lock(notify)?;
        let mut known = self.known();
        known.retain(|known| known.set != name(set));
        known.push(TrustedSet { set: name(set), digest });
        let newest = known.split_off(known.len().saturating_sub(MAX));
        let path = self.trusted();
        let text = serde_json::to_string_pretty(&newest).unwrap_or_default() + "\n";
        AtomicFile::of(&path).and_then(|file| file.commit(&text)).map_err(|error| unwritable(&path, &error))
    }

    /// Oldest first. One that cannot be read remembers nothing.
    fn known(&self) -> Vec<TrustedSet> {
        let document = SetDocument::saved(&self.trusted());
        document.ok().and_then(|document| serde_json::from_str(&document.text).ok()).unwrap_or_default()
    }

    fn trusted(&self) -> PathBuf {
        // Beside the sets, and no set.
        self.directory.with_file_name(FILE)
    }
}

fn name(set: &Path) -> String {
    set.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn by_path_and_content_and_not_without_end() {
        let directory = std::env::temp_dir().join(format!(
            "kubectl-fwd-trust-{}-{:x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        let sets = SetStore::new(&directory);
        let (path, one, two) = (Path::new("/p/fwd.yaml"), digest([&b"1"[..]]), digest([&b"2"[..]]));
        assert!(!sets.trusts(path, &one));
        sets.trust(path, one.clone(), |_| {}).unwrap();
        assert!(sets.trusts(path, &one) && !sets.trusts(path, &two));
        assert!(!sets.trusts(Path::new("/q/fwd.yaml"), &one));
        sets.trust(path, two.clone(), |_| {}).unwrap();
        assert!(sets.trusts(path, &two) && !sets.trusts(path, &one));
        for count in 0..MAX {
            sets.trust(&PathBuf::from(format!("/{count}")), one.clone(), |_| {}).unwrap();
        }
        assert!(!sets.trusts(path, &two) && sets.known().len() == MAX);
        fs::write(sets.trusted(), "{").unwrap();
        assert!(!sets.trusts(Path::new("/1"), &one));
        assert!(sets.names().is_empty());
        fs::create_dir_all(sets.directory.join("x")).unwrap();
        fs::write(sets.directory.join("a.yaml"), "").unwrap();
        assert!(sets.owns(&sets.directory.join("x/../a.yaml")) && !sets.owns(&sets.trusted()));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn parts_are_apart() {
        assert_ne!(digest([&b"ab"[..], b"c"]), digest([&b"a"[..], b"bc"]));
        assert_eq!(digest([&b"a"[..]]), digest([&b"a"[..]]));
    }
}
