//! One SPDY stream as the runtime holds it (PROTOCOL §2.4, §2.7).
//!
//! A worker hands DATA to the stream's reader with no buffer between: the hand-over is done when the reader has taken
//! the frame, which it does once the one before is written to the application.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use kubectl_fwd::spdy::frame::{STATUS_CANCEL, data_head, put_reset};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::headers::Headers;
use super::transport::Outbound;

/// A DATA frame's payload, in the pieces it came in.
pub(super) type Payload = Vec<Bytes>;

/// One stream.
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) priority: u8,
    pub(super) headers: Headers,
    out: Outbound,
    /// A SYN_REPLY went out: DATA that comes before it is dropped (PROTOCOL §2.5).
    replied: AtomicBool,
    /// We wrote our last.
    finished: AtomicBool,
    /// The client wrote its last, or the stream ended at once.
    remote: CancellationToken,
    sender: mpsc::Sender<Payload>,
    receiver: Mutex<mpsc::Receiver<Payload>>,
}

impl Stream {
    pub(super) fn new(id: u32, priority: u8, headers: Headers, out: Outbound) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(1);
        Arc::new(Self {
            id,
            priority,
            headers,
            out,
            replied: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            remote: CancellationToken::new(),
            sender,
            receiver: Mutex::new(receiver),
        })
    }

    /// Notes that the SYN_REPLY is about to go out.
    pub(super) fn reply(&self) {
        self.replied.store(true, Ordering::Release);
    }

    /// Hands a frame to the stream's reader and waits until it was taken.
    pub(super) async fn hand_over(&self, payload: Payload) {
        if payload.is_empty() || !self.replied.load(Ordering::Acquire) {
            return;
        }
        tokio::select! {
            biased;
            () = self.remote.cancelled() => {}
            () = async {
                if self.sender.send(payload).await.is_ok() {
                    // Room again means taken.
                    let _ = self.sender.reserve().await;
                }
            } => {}
        }
    }

    /// The next frame; `None` when the client wrote its last or the stream is gone.
    pub(super) async fn read(&self) -> Option<Payload> {
        let mut receiver = self.receiver.lock().await;
        tokio::select! {
            biased;
            payload = receiver.recv() => payload,
            () = self.remote.cancelled() => None,
        }
    }

    /// Nobody reads the stream any more: what still comes is dropped.
    pub(super) async fn stop_reading(&self) {
        self.receiver.lock().await.close();
    }

    /// The client's side is over: by FIN, by RST, or with the session.
    pub(super) fn end_remote(&self) {
        self.remote.cancel();
    }

    /// The client ended the stream at once. DATA of ours may follow for as long as the application sends (PROTOCOL §0.6),
    /// but no FIN.
    pub(super) fn reset_by_client(&self) {
        self.finished.store(true, Ordering::Release);
        self.end_remote();
    }

    /// Whether both sides wrote their last.
    pub(super) fn is_over(&self) -> bool {
        self.remote.is_cancelled() && self.finished.load(Ordering::Acquire)
    }

    /// Writes one DATA frame, in Go's three writes: half a head, the other half, the payload (PROTOCOL §2.7).
    pub(super) async fn write(&self, payload: Bytes) -> io::Result<()> {
        self.data(payload, false).await
    }

    /// Writes our last, unless it is written.
    pub(super) async fn finish(&self) -> io::Result<()> {
        if self.finished.swap(true, Ordering::AcqRel) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.data(Bytes::new(), true).await
    }

    async fn data(&self, payload: Bytes, fin: bool) -> io::Result<()> {
        let mut head = Bytes::copy_from_slice(&data_head(self.id, payload.len(), fin));
        let stream = head.split_to(4);
        let parts = [stream, head, payload];
        let count = if parts[2].is_empty() { 2 } else { 3 };
        self.out.write(parts.into_iter().take(count)).await
    }

    /// Ends the stream at once. A Go peer writes no RST behind its own FIN (PROTOCOL §2.4).
    pub(super) async fn reset(&self) {
        self.end_remote();
        if !self.finished.swap(true, Ordering::AcqRel) {
            let mut frame = BytesMut::new();
            put_reset(&mut frame, self.id, STATUS_CANCEL);
            let _ = self.out.write([frame.freeze()]).await;
        }
    }
}
