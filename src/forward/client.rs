//! The client of one connection: its socket, and what it sent and received over all attempts to reach a pod.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{
    counters::Counters, local::LocalStream, open_connections::ConnectionProgress, outbound::advance,
};
use crate::tunnel::stream::Chunk;

/// Bytes sent that are kept until the first answer, for a replay (DESIGN §2). More is a bulk upload, which is not
/// replayed.
const REPLAY_LIMIT: usize = 64 * 1024;

/// Pieces that are written to the client at once, of at most 32 KiB each. A piece is what one read of the session held of
/// a frame, and to write each by itself is a system call and a segment for each.
pub(super) const GATHERED: usize = 8;

/// How long what a client still sends is read and dropped once its connection is over: unread bytes would turn our FIN
/// into a reset that takes the end of the answer with it.
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

/// How long the end of a client may follow what it sent last. One that has had its answers says good-bye and closes, and
/// there are applications that reset at the good-bye.
const RESET_GRACE: Duration = Duration::from_millis(100);

/// What one read of the client gave.
pub(super) enum ClientRead {
    /// So many bytes.
    Data(usize),
    /// It sends no more.
    Eof,
    /// Nothing: readiness is a hint.
    Nothing,
}

/// The client's side of a connection.
pub(super) struct LocalClient {
    pub socket: LocalStream,
    /// What was read from the client and may have to be sent again; `None` once it must not or cannot be.
    pub replay: Option<Vec<u8>>,
    /// Bytes that the client has sent.
    pub sent: u64,
    /// Bytes that the client has taken.
    pub received: u64,
    /// Bytes of the application reached the client.
    pub answered: bool,
    /// Some of them did after it had said that it sends no more.
    answered_late: bool,
    /// When the client said it sends no more.
    pub eof: Option<Instant>,
    /// What others see of the connection.
    pub progress: Arc<ConnectionProgress>,
}

impl LocalClient {
    pub(super) fn new(socket: LocalStream, progress: Arc<ConnectionProgress>) -> Self {
        Self {
            socket,
            replay: Some(Vec::new()),
            sent: 0,
            received: 0,
            answered: false,
            answered_late: false,
            eof: None,
            progress,
        }
    }

    /// Reads what the client sent into `chunk`, and keeps it while it may be needed again.
    pub(super) fn read(&mut self, chunk: &mut Chunk) -> io::Result<ClientRead> {
        match self.socket.try_read(&mut chunk.room()) {
            Ok(0) => {
                self.eof = Some(Instant::now());
                Ok(ClientRead::Eof)
            }
            Ok(read) => {
                chunk.filled(read);
                self.sent += read as u64;
                self.progress.moved(self.sent, self.received);
                self.keep(chunk.payload());
                Ok(ClientRead::Data(read))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(ClientRead::Nothing),
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(replay) = &mut self.replay {
            if replay.len() + bytes.len() <= REPLAY_LIMIT {
                replay.extend_from_slice(bytes);
            } else {
                self.replay = None;
            }
        }
    }

    /// Notes that bytes of the application are about to be written: nothing is replayed from now on.
    pub(super) fn note_answer(&mut self) {
        self.answered = true;
        self.answered_late |= self.eof.is_some();
        self.replay = None;
    }

    /// Writes what the client takes of `pending`.
    pub(super) fn write(&mut self, pending: &mut VecDeque<Bytes>, counters: &Counters) -> io::Result<()> {
        while !pending.is_empty() {
            let mut slices = [IoSlice::new(&[]); GATHERED];
            let filled =
                slices.iter_mut().zip(pending.iter()).map(|(slice, piece)| *slice = IoSlice::new(piece));
            let count = filled.count();
            match self.socket.try_write(&slices[..count]) {
                Ok(n) => {
                    counters.inbound(n);
                    self.received += n as u64;
                    self.progress.moved(self.sent, self.received);
                    advance(pending, n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The application closed: so do we, once the client has all of it.
    pub(super) async fn close(&self) {
        self.socket.close_when_dropped();
        if self.socket.shutdown_write().is_ok() && self.eof.is_none() {
            let _ = timeout(DISCARD_WITHIN, self.discard()).await;
        }
    }

    /// Reads and drops what the client still sends.
    async fn discard(&self) {
        let mut scrap = Vec::with_capacity(4096);
        while self.socket.readable().await.is_ok() {
            scrap.clear();
            match self.socket.try_read(&mut scrap) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }

    /// Whether the client is gone, or has said that it sends no more and is owed nothing. One that has half-closed and
    /// waits for an answer looks the same as one that is gone, but for this: it has no answer yet, or still receives
    /// one. Those that had answers and then no more before they closed were done, whatever they sent last.
    pub(super) async fn has_ended(&mut self) -> bool {
        if self.answered && self.eof.is_none() {
            let _ = timeout(RESET_GRACE, self.socket.readable()).await;
        }
        if self.eof.is_none() {
            match self.socket.try_read(&mut [0; 1].as_mut_slice()) {
                Ok(0) => self.eof = Some(Instant::now()),
                Ok(read) => self.sent += read as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
        let waits = self.sent > 0 && (!self.answered || self.answered_late);
        self.eof.is_some() && !waits || self.socket.has_failed()
    }
}
