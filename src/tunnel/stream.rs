//! One forwarded connection inside a tunnel, as the connection's own task sees it.
//!
//! The task and the session's driver share no lock. Outbound, the task takes a permit, fills a buffer and sends it; the
//! permit comes back once the bytes are written, so a stream has at most `OUTBOUND_FRAMES` buffers under way.
//! Inbound, the driver sends what arrives without waiting; what the task has not yet taken is counted, and a count over
//! `INBOUND_LIMIT` stops the driver's reading, for SPDY as spoken here has no other way to stop a peer (PROTOCOL
//! §0.7). Where others on the session have something to come the driver reads on, and what waits beyond the limit counts
//! against that of the process ([`super::limits`]).

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    buffers::{self, Block, READ},
    status::{Counted, SessionStatus},
};
use crate::spdy::{
    frame::{HEAD, MAX_DATA},
    session::{PairEnd, PairId},
};

/// Buffers a stream has under way: one being written, one queued behind it. More would only be memory.
pub(super) const OUTBOUND_FRAMES: usize = 2;

/// Bytes from the pod that wait for a slow local client, which has its session to itself in most cases: then the
/// session stops reading until the client has taken some. It is twice what a driver reads between two turns of the
/// connections' tasks, so that a client which keeps up stops nothing; the kernel's buffers on the way hold some MiB
/// besides.
pub(super) const INBOUND_LIMIT: usize = 512 * 1024;

/// Payload shorter than this is copied out of the block it was read into once its stream is behind: the whole block
/// would be kept for each of its few bytes otherwise, past every count of them.
const COPY_BELOW: usize = 8 * 1024;

/// Pieces that make a stream one that is behind. Up to then it may keep a block of 32 KiB for each, and so at most
/// 512 KiB besides what is counted.
const SHARED_PIECES: usize = 16;

/// What each piece that waits costs beside its bytes: its place in the queue and its allocation. Without it an
/// application that writes byte by byte could fill a hundred times the limit.
const PIECE: usize = 64;

/// Bytes on their way to the pod: a block with room for a frame's head in front and the payload behind it, and the permit
/// to have it.
#[derive(Debug)]
pub struct Chunk {
    block: Block,
    /// How much of its front has left already.
    start: usize,
    /// Where the payload ends.
    end: usize,
    /// Held for its drop: once the bytes are written, or dropped, the stream may have another buffer.
    _permit: OwnedSemaphorePermit,
}

impl Chunk {
    /// An empty buffer.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { block: buffers::outbound(), start: 0, end: HEAD, _permit: permit }
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        &self.block[HEAD..self.end]
    }

    /// Where more payload is read into: of an empty one [`MAX_DATA`] bytes.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.block[self.end..HEAD + MAX_DATA]
    }

    /// Notes that so many bytes were read into its room.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
    }

    /// Appends payload, as much of it as there is room for, and tells how much.
    pub fn put(&mut self, payload: &[u8]) -> usize {
        let room = self.room();
        let length = payload.len().min(room.len());
        room[..length].copy_from_slice(&payload[..length]);
        self.filled(length);
        length
    }

    /// Where the frame's head belongs.
    pub(super) fn head(&mut self) -> &mut [u8] {
        &mut self.block[..HEAD]
    }

    /// What of head and payload has not left yet.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// The same, to be masked.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.end]
    }

    /// Notes that so many of them have left.
    pub(super) fn advance(&mut self, length: usize) {
        self.start += length;
    }
}

/// What arrives for a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The application's bytes.
    Data(Bytes),
    /// The application writes no more; how it ended follows.
    DataEnd,
    /// It is over.
    Ended(PairEnd),
    /// The session is gone, and with it the connection.
    Lost,
}

/// What a stream's task asks of the driver.
pub(super) enum StreamCommand {
    /// Open a pair, and send what arrives to `inbound`.
    Open { port: u16, stream: Arc<StreamShared>, inbound: mpsc::UnboundedSender<StreamEvent> },
    /// Send these bytes.
    Data(Arc<StreamShared>, Chunk),
    /// Nothing more will be sent.
    Finish(Arc<StreamShared>),
    /// The client sends no more, and takes part in nobody's load.
    HalfClose(Arc<StreamShared>),
    /// End it now; nobody listens any more.
    Reset(Arc<StreamShared>),
    /// Of no stream: ask the peer whether it still lives.
    Probe,
}

/// What the task and the driver both know of a stream.
#[derive(Debug)]
pub struct StreamShared {
    /// Which pair it is, once the driver opened it.
    pub(super) pair: OnceLock<PairId>,
    /// The transport took at least a part of a DATA frame (PROTOCOL §3.7).
    pub(super) data_written: AtomicBool,
    /// Inbound bytes the task has not taken yet, and [`PIECE`] for each piece.
    buffered: AtomicUsize,
    /// Pieces that those are in.
    pieces: AtomicUsize,
    /// Permits for outbound buffers.
    permits: Arc<Semaphore>,
    /// Counts it while it waits for another's client.
    pub(super) blocked: Gauge,
    /// Of its session.
    session: Arc<SessionStatus>,
}

/// Bytes of `buffered` that count against the limit of the process: those that would not wait if the session had stopped
/// reading at once, after the read that was under way.
fn excess(buffered: usize) -> usize {
    buffered.saturating_sub(INBOUND_LIMIT + READ)
}

impl StreamShared {
    /// Takes in a piece that is about to be handed to the task; true when it makes the backlog too large.
    pub(super) fn add_buffered(&self, piece: Bytes) -> (Bytes, bool) {
        let cost = piece.len() + PIECE;
        let is_behind = self.pieces.fetch_add(1, Ordering::AcqRel) >= SHARED_PIECES;
        let before = self.buffered.fetch_add(cost, Ordering::AcqRel);
        let fills = before <= INBOUND_LIMIT && before + cost > INBOUND_LIMIT;
        self.session.limits.unread.add(excess(before + cost) - excess(before));
        let copies = is_behind && piece.len() < COPY_BELOW;
        (if copies { Bytes::copy_from_slice(&piece) } else { piece }, fills)
    }

    /// A piece was taken; true when there is room again.
    fn remove_buffered(&self, piece: &Bytes) -> bool {
        let cost = piece.len() + PIECE;
        self.pieces.fetch_sub(1, Ordering::AcqRel);
        let before = self.buffered.fetch_sub(cost, Ordering::AcqRel);
        self.session.limits.unread.subtract(excess(before) - excess(before - cost));
        before > INBOUND_LIMIT && before - cost <= INBOUND_LIMIT
    }

    /// Whether the client has more to take than may wait.
    pub(super) fn is_full(&self) -> bool {
        self.buffered.load(Ordering::Acquire) > INBOUND_LIMIT
    }
}

impl Drop for StreamShared {
    fn drop(&mut self) {
        // What its client never took.
        self.session.limits.unread.subtract(excess(*self.buffered.get_mut()));
    }
}

/// How many connections of some kind there are now.
pub type Gauge = Arc<AtomicUsize>;

/// A stream's end in the connection's task. Dropping it resets the stream unless it ended.
#[derive(Debug)]
pub struct Stream {
    /// Towards the pod.
    pub send: SendStream,
    /// From the pod.
    pub recv: RecvStream,
    /// Held for its drop, while it is one of its session's load.
    counted: Option<Counted>,
}

/// The half of a stream that sends.
#[derive(Debug)]
pub struct SendStream {
    commands: mpsc::UnboundedSender<StreamCommand>,
    shared: Arc<StreamShared>,
}

/// The half of a stream that receives.
#[derive(Debug)]
pub struct RecvStream {
    events: mpsc::UnboundedReceiver<StreamEvent>,
    shared: Arc<StreamShared>,
    /// What was seen behind the last bytes, by [`Self::try_recv_data`].
    next: Option<StreamEvent>,
    over: bool,
}

impl Stream {
    /// Asks the driver behind `commands` for a pair to `port`. It may be gone: then the stream is lost at once. While the
    /// stream waits for another's client, `blocked` counts it.
    pub(super) fn open(
        commands: mpsc::UnboundedSender<StreamCommand>,
        session: &Arc<SessionStatus>,
        port: u16,
        blocked: Gauge,
    ) -> Self {
        // Bounded by the driver, which reads no more once too much waits here.
        let (inbound, events) = mpsc::unbounded_channel();
        let shared = Arc::new(StreamShared {
            pair: OnceLock::new(),
            data_written: AtomicBool::new(false),
            buffered: AtomicUsize::new(0),
            pieces: AtomicUsize::new(0),
            permits: Arc::new(Semaphore::new(OUTBOUND_FRAMES)),
            blocked,
            session: Arc::clone(session),
        });
        let counted = Some(session.count());
        // Where the driver is gone the sender is dropped with the command, and `recv` tells `Lost`.
        let _ = commands.send(StreamCommand::Open { port, stream: Arc::clone(&shared), inbound });
        Self {
            send: SendStream { commands, shared: Arc::clone(&shared) },
            recv: RecvStream { events, shared, next: None, over: false },
            counted,
        }
    }

    /// The client has said all it has to say. Most that do are gone, and their stream only waits for the runtime to let
    /// go (PROTOCOL §3.4): from now on it counts as no load of its session, unless it moves much again.
    pub fn half_closed(&mut self) {
        if self.counted.take().is_some() {
            let _ = self.send.commands.send(StreamCommand::HalfClose(Arc::clone(&self.send.shared)));
        }
    }
}

#[cfg(test)]
impl Stream {
    /// Whether both are on one session.
    pub(super) fn is_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.recv.shared.session, &other.recv.shared.session)
    }
}

impl SendStream {
    /// Waits until a buffer may be had. Cancel-safe.
    pub async fn permit(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.shared.permits).acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a buffer's payload.
    pub fn send(&self, chunk: Chunk) {
        let _ = self.commands.send(StreamCommand::Data(Arc::clone(&self.shared), chunk));
    }

    /// Tells the pod that nothing more comes. The runtime then closes the application's connection within a second
    /// (PROTOCOL §0.5).
    pub fn finish(&self) {
        let _ = self.commands.send(StreamCommand::Finish(Arc::clone(&self.shared)));
    }

    /// Whether the transport took any of the bytes sent (PROTOCOL §3.7).
    pub fn data_written(&self) -> bool {
        self.shared.data_written.load(Ordering::Relaxed)
    }
}

impl RecvStream {
    /// The next thing that arrives. Cancel-safe. After `Ended` or `Lost` there is nothing more.
    pub async fn recv(&mut self) -> StreamEvent {
        let next = match self.next.take() {
            Some(next) => next,
            None => self.events.recv().await.unwrap_or(StreamEvent::Lost),
        };
        match &next {
            StreamEvent::Data(bytes) => self.consumed(bytes),
            StreamEvent::DataEnd => {}
            StreamEvent::Ended(_) | StreamEvent::Lost => self.over = true,
        }
        next
    }

    /// Bytes that are there already, to be written together with those before.
    pub fn try_recv_data(&mut self) -> Option<Bytes> {
        if self.next.is_none() {
            self.next = self.events.try_recv().ok();
        }
        match self.next.take()? {
            StreamEvent::Data(bytes) => {
                self.consumed(&bytes);
                Some(bytes)
            }
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    fn consumed(&self, bytes: &Bytes) {
        if self.shared.remove_buffered(bytes) {
            self.shared.session.drained.notify_one();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.recv.over {
            // Should this stream's backlog be what stops the driver, the reset frees it.
            let _ = self.send.commands.send(StreamCommand::Reset(Arc::clone(&self.send.shared)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_behind_keeps_no_read_buffers_for_small_pieces() {
        let (commands, mut receiver) = mpsc::unbounded_channel();
        let mut stream = Stream::open(commands, &Arc::default(), 80, Gauge::default());
        let Ok(StreamCommand::Open { stream: shared, inbound, .. }) = receiver.try_recv() else {
            panic!("not opened")
        };
        let read = Bytes::from(vec![7; 64 * 1024]);
        let kept = |piece: &Bytes| {
            let (kept, _) = shared.add_buffered(piece.clone());
            let is_slice = kept.as_ptr() == piece.as_ptr();
            inbound.send(StreamEvent::Data(kept)).unwrap();
            is_slice
        };
        for _ in 0..SHARED_PIECES {
            assert!(kept(&read.slice(..1)));
        }
        assert!(!kept(&read.slice(..COPY_BELOW - 1)));
        assert!(kept(&read.slice(..COPY_BELOW)));
        // Once it has caught up, it shares again.
        while stream.recv.try_recv_data().is_some() {}
        assert!(kept(&read.slice(..1)));
    }

    #[tokio::test]
    async fn more_is_bytes_alone() {
        let (commands, mut receiver) = mpsc::unbounded_channel();
        let mut stream = Stream::open(commands, &Arc::default(), 80, Gauge::default());
        let Ok(StreamCommand::Open { stream: shared, inbound, .. }) = receiver.try_recv() else {
            panic!("not opened")
        };
        assert_eq!(stream.recv.try_recv_data(), None);
        for text in ["a", "b"] {
            inbound.send(StreamEvent::Data(shared.add_buffered(Bytes::from(text)).0)).unwrap();
        }
        inbound.send(StreamEvent::DataEnd).unwrap();
        assert_eq!(stream.recv.recv().await, StreamEvent::Data(Bytes::from("a")));
        assert_eq!(stream.recv.try_recv_data(), Some(Bytes::from("b")));
        assert_eq!(stream.recv.try_recv_data(), None);
        assert_eq!(stream.recv.recv().await, StreamEvent::DataEnd);
        drop((shared, inbound));
        assert_eq!(stream.recv.recv().await, StreamEvent::Lost);
    }
}
