//! Reading by many at once, of whom each waits for as long as anybody gets on.

use std::{
    io::{self, Read},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::outcome::is_timeout;

/// How often one who waits looks whether others got on.
const LOOK: Duration = Duration::from_millis(200);

/// When anybody last got anything.
pub(super) struct Progress {
    begun: Instant,
    /// In milliseconds from the beginning.
    last: AtomicU64,
    /// How long all may get nothing.
    patience: Duration,
}

impl Progress {
    pub(super) fn new(patience: Duration) -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0), patience }
    }

    /// Has `stream` read with everybody else's patience.
    pub(super) fn reader(&self, stream: TcpStream) -> io::Result<Reader<'_>> {
        stream.set_read_timeout(Some(LOOK))?;
        Ok(Reader { stream, progress: self })
    }

    fn is_made(&self) {
        self.last.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last) > self.patience
    }
}

/// One of those who read.
pub(super) struct Reader<'a> {
    pub(super) stream: TcpStream,
    progress: &'a Progress,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if is_timeout(&error) && !self.progress.is_over() => {}
                read => {
                    if matches!(read, Ok(1..)) {
                        self.progress.is_made();
                    }
                    return read;
                }
            }
        }
    }
}
