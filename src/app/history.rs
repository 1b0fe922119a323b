//! The history: which targets this user forwards to, for the picker, which has them first. A small file in the state directory,
//! for its user alone. It is a help and nothing more: what is wrong with it is ignored.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    model::forward::PortForward,
    policy::usage::{MAX_USED, UsedTarget, note},
    system::file::AtomicFile,
};

/// How long the file may take. It is read and written beside other work, and a directory on a network that hangs must not hold
/// that up.
const FILE_TIME: Duration = Duration::from_secs(1);
/// What is read of it: many times what [`MAX_USED`] entries take.
const MAX_BYTES: u64 = 256 << 10;
/// The version of what is in it.
const VERSION: u32 = 1;
/// What a label selector is called in place of a kind.
const SELECTOR: &str = "selector";

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct HistoryFile {
    version: u32,
    used: Vec<UsedTarget>,
}

impl History {
    /// In this state directory.
    pub(super) fn new(state: &Path) -> Self {
        Self { path: state.join("kubectl-fwd").join("history.json") }
    }

    /// What was used.
    pub(super) async fn read(&self) -> Vec<UsedTarget> {
        let path = self.path.clone();
        let reading = timeout(FILE_TIME, spawn_blocking(move || read(&path)));
        reading.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Counts one more use of each.
    pub(super) async fn note(self, forwards: Vec<PortForward>) {
        let writing = timeout(FILE_TIME, spawn_blocking(move || self.write(&forwards)));
        if let Ok(Ok(Err(error))) = writing.await {
            tracing::debug!(%error, "the history is not written");
        }
    }

    fn write(&self, forwards: &[PortForward]) -> io::Result<()> {
        let mut used = read(&self.path);
        let last = Timestamp::now();
        for forward in forwards.iter().filter(|forward| forward.resource_type != SELECTOR) {
            let (context, namespace) = (forward.context.clone(), forward.namespace.clone());
            let (target, port) = (forward.target.clone(), forward.remote_port.to_string());
            note(&mut used, UsedTarget { context, namespace, target, port, count: 1, last });
        }
        let text = serde_json::to_string(&HistoryFile { version: VERSION, used })?;
        if let Some(directory) = self.path.parent() {
            make(directory)?;
        }
        AtomicFile::private(&self.path)?.commit(&text)
    }
}

/// What is in the file. One that is damaged, or of another version, has nothing in it.
fn read(path: &Path) -> Vec<UsedTarget> {
    let text = || {
        let mut text = String::new();
        File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let found = text().ok().and_then(|text| serde_json::from_str::<HistoryFile>(&text).ok());
    let mut used = found.filter(|found| found.version == VERSION).map(|found| found.used).unwrap_or_default();
    used.truncate(MAX_USED);
    used
}

/// Makes the directory, for its user alone.
fn make(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(target: &str) -> UsedTarget {
        UsedTarget {
            context: None,
            namespace: "shop".to_owned(),
            target: target.to_owned(),
            port: "80".to_owned(),
            count: 1,
            last: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn what_is_damaged_is_ignored() {
        let state = std::env::temp_dir().join(format!("kubectl-fwd-history-{}", std::process::id()));
        let history = History::new(&state);
        assert_eq!(history.read().await, []);
        history.clone().note(Vec::new()).await;
        let file = HistoryFile { version: VERSION, used: vec![used("svc/api")] };
        let text = serde_json::to_string(&file).unwrap();
        fs::write(&history.path, &text).unwrap();
        assert_eq!(history.read().await, [used("svc/api")]);
        for damaged in
            ["", "{", "[]", &text.replace(r#""version":1"#, r#""version":2"#), &text[..text.len() - 3]]
        {
            fs::write(&history.path, damaged).unwrap();
            assert_eq!(history.read().await, [], "{damaged}");
        }
        // And replaced, for nobody else to read.
        fs::remove_file(&history.path).unwrap();
        history.clone().note(Vec::new()).await;
        assert!(fs::read_to_string(&history.path).unwrap().contains(r#""version":1"#));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&history.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_dir_all(state).unwrap();
    }
}
