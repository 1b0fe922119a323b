//! What one stream may cost the others of its thread and of its session, in bytes: no clock is looked at.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::BytesMut;
use tokio::io::ReadBuf;

use super::{tests::over, *};
use crate::{
    spdy::frame,
    tunnel::{
        stream::{Chunk, OUTBOUND_FRAMES},
        write_queue::BATCH,
    },
};

/// A peer that always has more DATA for the first pair, and takes whatever is sent.
struct Busy {
    frame: Vec<u8>,
    at: usize,
    moved: Arc<AtomicUsize>,
    written: mpsc::UnboundedSender<Vec<u8>>,
}

impl Busy {
    fn new() -> (Self, Arc<AtomicUsize>, mpsc::UnboundedReceiver<Vec<u8>>) {
        let mut frame = frame::data_head(7, 32 * 1024, false).to_vec();
        frame.resize(frame.len() + 32 * 1024, 7);
        let moved = Arc::new(AtomicUsize::new(0));
        let (written, wire) = mpsc::unbounded_channel();
        (Self { frame, at: 0, moved: Arc::clone(&moved), written }, moved, wire)
    }
}

impl AsyncRead for Busy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.moved.fetch_add(buf.remaining(), Ordering::Relaxed);
        while buf.remaining() > 0 {
            let end = self.frame.len().min(self.at + buf.remaining());
            buf.put_slice(&self.frame[self.at..end]);
            self.at = end % self.frame.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Busy {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.moved.fetch_add(buf.len(), Ordering::Relaxed);
        let _ = self.written.send(buf.to_vec());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Takes all there is and sends without end.
async fn keep_busy(mut stream: Stream, byte: u8) {
    loop {
        tokio::select! {
            permit = stream.send.permit() => {
                let mut chunk = Chunk::new(permit);
                chunk.put(&vec![byte; frame::MAX_DATA]);
                stream.send.send(chunk);
            }
            inbound = stream.recv.recv() => assert!(matches!(inbound, StreamEvent::Data(_))),
        }
    }
}

/// Goes to the end of the runtime's queue. Its own `yield_now` waits for the drivers of sockets and clocks as well.
async fn behind_all_others() {
    let mut been = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut been, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn other_tasks_wait_for_a_bounded_amount() {
    const STREAMS: usize = 40;
    const ENOUGH: usize = 64 * 1024 * 1024;
    let (io, moved, mut wire) = Busy::new();
    let session = over(io, CreditMode::Off, &TaskTracker::new());
    for _ in 0..STREAMS {
        tokio::spawn(keep_busy(session.open(80, &Arc::default()), 1));
    }
    // On one thread, tasks take turns: between two of this one the driver has one.
    let other = tokio::spawn(async move {
        let (mut before, mut most) = (moved.load(Ordering::Relaxed), 0);
        while before < ENOUGH {
            behind_all_others().await;
            let now = moved.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
            while wire.try_recv().is_ok() {}
        }
        most
    });
    let most = other.await.unwrap();
    assert!(most <= TURNS * (READS * buffers::READ + BATCH), "{most} bytes were moved in one turn");
}

#[tokio::test]
async fn bulk_streams_keep_another_waiting_for_their_own_buffers_at_most() {
    const BULK: u8 = 6;
    const FRAMES: usize = 200;
    let (io, _, mut wire) = Busy::new();
    let session = over(io, CreditMode::Off, &TaskTracker::new());
    let other = session.open(80, &Arc::default());
    for byte in 1..=BULK {
        tokio::spawn(keep_busy(session.open(80, &Arc::default()), byte));
    }
    tokio::spawn(keep_busy(other, 0));
    let (mut decoder, mut seen, mut since) = (frame::FrameDecoder::default(), 0, 0);
    let mut unread = BytesMut::new();
    while seen < FRAMES {
        unread.extend(wire.recv().await.unwrap());
        let mut bytes = unread.split().freeze();
        while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
            match frame {
                frame::Frame::Data { payload, .. } if payload.first() == Some(&0) => {
                    (seen, since) = (seen + 1, 0);
                }
                frame::Frame::Data { payload, .. } => since += payload.len(),
                _ => {}
            }
            let bound = usize::from(BULK) * OUTBOUND_FRAMES * frame::MAX_DATA;
            assert!(
                seen == 0 || since <= bound,
                "{since} bytes of others between two of one stream's frames"
            );
        }
    }
}
