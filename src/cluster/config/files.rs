//! Files that the kubeconfig names, or that it is: read up to a limit, and not waited for without end.
//!
//! Any of them may be a named pipe that nobody writes to, or lie on a disk that is gone.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use crate::error::Fatal;

/// How long reading files may take. A person who has to plug in or to unlock a disk gets to it.
const LIMIT: Duration = Duration::from_secs(60);

/// How much of a token file is read. No header may be so long.
const TOKEN_LIMIT: u64 = 1 << 20;

/// The bytes of a file, if they are no more than `limit`.
pub(super) fn bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// The bytes of a token file.
pub(in crate::cluster) async fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    let reading = tokio::task::spawn_blocking(move || bounded(&path, TOKEN_LIMIT));
    match timeout(LIMIT, reading).await {
        Ok(read) => read?,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Does what reads files, off the thread that moves bytes. `what` completes "cannot".
pub(in crate::cluster) async fn reading<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Fatal> + Send + 'static,
) -> Result<T, Fatal> {
    let failed = |why: String| {
        Fatal::new("fwd::kubeconfig::unreadable", format!("cannot {what}")).because(why).help(
            "is one of its files on a network disk that does not answer, or a pipe that nobody writes to?",
        )
    };
    match timeout(LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(failed("an unexpected error in this program".to_owned())),
        Err(_) => Err(failed(format!("it took longer than {} s", LIMIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_in_time_is_told() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let error = reading("read the kubeconfig", move || {
            let _ = held.recv();
            Ok(())
        });
        // The clock of a test stands still while something blocks, so it is moved by hand.
        let mut error = std::pin::pin!(error);
        tokio::select! {
            biased;
            _ = &mut error => unreachable!(),
            () = tokio::task::yield_now() => {}
        }
        tokio::time::advance(LIMIT).await;
        let error = error.await.err().unwrap();
        assert_eq!(error.to_string(), "cannot read the kubeconfig");
        assert_eq!(error.causes().next(), Some("it took longer than 60 s"));
        drop(hold);
    }
}
