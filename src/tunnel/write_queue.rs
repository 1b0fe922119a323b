//! What a session still has to write, in order, and the writing of it.
//!
//! Frames are queued whole, each in the buffer it was built in. When the transport takes bytes, all that is queued, up
//! to `BATCH`, becomes one burst: over a WebSocket one message, its frames masked in place; then vectored writes. So
//! a new connection's SYN_STREAMs and first bytes leave together, and nothing is copied on the way to TLS.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::{
    stream::{Chunk, StreamShared},
    websocket,
};
use crate::spdy::frame::{HEAD, MAX_DATA};

/// Bytes of a burst at most, and so of one turn of the driver, but for a single frame that is longer. Four full DATA
/// frames: enough that heads cost nothing, little enough that a burst of one stream keeps no other waiting for long.
pub(super) const BATCH: usize = 4 * (HEAD + MAX_DATA);

/// Slices of one vectored write. Linux takes up to 1024; a burst rarely has more than a few.
const SLICES: usize = 16;

/// Buffers for small frames that are kept to be filled again: a burst has its WebSocket head and the pings between its
/// DATA in some.
const SPARES: usize = 8;

/// A longer one is not kept: it held a burst of new connections.
const SPARE_LENGTH: usize = 4 * 1024;

/// How bytes travel on the upgraded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// SPDY frames as they are.
    Plain,
    /// SPDY frames inside binary WebSocket messages.
    WebSocket,
}

/// One frame, or several small ones, in one buffer.
enum QueuedFrame {
    /// Written by the session itself.
    Control(BytesMut),
    /// A DATA frame of a stream.
    Data(Chunk, Arc<StreamShared>),
}

impl QueuedFrame {
    /// What has not left yet.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Control(bytes) => bytes,
            Self::Data(chunk, _) => chunk.bytes(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Control(bytes) => bytes,
            Self::Data(chunk, _) => chunk.bytes_mut(),
        }
    }

    fn advance(&mut self, length: usize) {
        match self {
            Self::Control(bytes) => bytes.advance(length),
            Self::Data(chunk, _) => chunk.advance(length),
        }
    }
}

/// The queue of one session.
pub(super) struct WriteQueue {
    framing: Framing,
    /// Not yet part of a burst.
    waiting: VecDeque<QueuedFrame>,
    /// The burst being written.
    burst: VecDeque<QueuedFrame>,
    /// Bytes in both.
    queued: usize,
    /// The payload of the peer's last ping, while its answer is owed.
    pong: Option<Bytes>,
    /// The transport may hold bytes that it has not passed on.
    flushing: bool,
    /// Empty buffers for small frames.
    spare: Vec<BytesMut>,
}

impl WriteQueue {
    pub(super) fn new(framing: Framing) -> Self {
        let (waiting, burst, spare) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self { framing, waiting, burst, queued: 0, pong: None, flushing: false, spare }
    }

    /// Bytes not yet taken by the transport.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// The transport has not yet taken or passed on all there is.
    pub(super) fn is_busy(&self) -> bool {
        self.queued > 0 || self.flushing
    }

    /// Queues frames that `write` appends. Small frames in a row share a buffer.
    pub(super) fn control<T>(&mut self, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        let mut buffer = match self.waiting.pop_back() {
            Some(QueuedFrame::Control(buffer)) => buffer,
            Some(data) => {
                self.waiting.push_back(data);
                self.spare.pop().unwrap_or_default()
            }
            None => self.spare.pop().unwrap_or_default(),
        };
        let before = buffer.len();
        let result = write(&mut buffer);
        self.queued += buffer.len() - before;
        if buffer.is_empty() {
            self.recycle(buffer);
        } else {
            self.waiting.push_back(QueuedFrame::Control(buffer));
        }
        result
    }

    /// Queues a DATA frame, head and payload.
    pub(super) fn data(&mut self, chunk: Chunk, stream: Arc<StreamShared>) {
        self.queued += chunk.bytes().len();
        self.waiting.push_back(QueuedFrame::Data(chunk, stream));
    }

    /// Queues bytes that are a WebSocket frame of their own, behind the burst being written.
    pub(super) fn raw(&mut self, frame: BytesMut) {
        self.queued += frame.len();
        self.burst.push_back(QueuedFrame::Control(frame));
    }

    /// Owes the peer an answer to its WebSocket ping. Of several that have not left only the last is owed (RFC 6455 §5.5.3),
    /// or a peer that pings and does not read would have us keep them all.
    pub(super) fn pong(&mut self, payload: Bytes) {
        self.pong = Some(payload);
    }

    /// Keeps a small frame's buffer for another.
    fn recycle(&mut self, mut buffer: BytesMut) {
        buffer.clear();
        if self.spare.len() < SPARES && buffer.capacity() <= SPARE_LENGTH {
            self.spare.push(buffer);
        }
    }

    /// Makes a burst of what waits.
    fn begin_burst(&mut self) {
        let mut length = 0;
        let mut count = 0;
        for item in &self.waiting {
            if count > 0 && length + item.bytes().len() > BATCH {
                break;
            }
            length += item.bytes().len();
            count += 1;
        }
        if count == 0 {
            return;
        }
        if self.framing == Framing::WebSocket {
            let key = fastrand::u32(..).to_ne_bytes();
            let mut head = self.spare.pop().unwrap_or_default();
            websocket::put_binary_head(&mut head, length, key);
            self.queued += head.len();
            self.burst.push_back(QueuedFrame::Control(head));
            let mut offset = 0;
            for item in self.waiting.iter_mut().take(count) {
                let bytes = item.bytes_mut();
                websocket::mask(bytes, key, offset);
                offset += bytes.len();
            }
        }
        self.burst.extend(self.waiting.drain(..count));
    }

    /// Writes until a burst is written, or the transport takes no more; flushes behind the last. `Ready(true)` tells that
    /// something was written, `Ready(false)` that there was nothing to do.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<bool>> {
        if self.burst.is_empty() {
            if let Some(payload) = self.pong.take() {
                self.raw(websocket::pong(&payload, fastrand::u32(..).to_ne_bytes()));
            }
            self.begin_burst();
        }
        let wrote = !self.burst.is_empty();
        while !self.burst.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, item) in slices.iter_mut().zip(&self.burst) {
                *slice = IoSlice::new(item.bytes());
                count += 1;
            }
            let n = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.flushing = true;
            self.advance(n);
        }
        if self.flushing && self.waiting.is_empty() {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(wrote))
    }

    /// Writes and flushes all there is.
    pub(super) async fn write_all(&mut self, io: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while poll_fn(|cx| self.poll_write(cx, io)).await? {}
        Ok(())
    }

    /// Forgets `n` written bytes, and notes whose they were.
    fn advance(&mut self, mut n: usize) {
        self.queued -= n;
        while n > 0 {
            let Some(item) = self.burst.front_mut() else { return };
            if let QueuedFrame::Data(_, stream) = item {
                stream.data_written.store(true, Ordering::Relaxed);
            }
            let take = n.min(item.bytes().len());
            item.advance(take);
            n -= take;
            if item.bytes().is_empty()
                && let Some(QueuedFrame::Control(buffer)) = self.burst.pop_front()
            {
                self.recycle(buffer);
            }
        }
    }
}
