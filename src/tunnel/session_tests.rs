use std::io;

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, ReadBuf};

use super::*;
use crate::tunnel::{fake::settled, stream::Chunk};

async fn send(stream: &Stream, bytes: &[u8]) {
    let mut chunk = Chunk::new(stream.outgoing.permit().await);
    chunk.buffer().put_slice(bytes);
    stream.outgoing.send(chunk);
}

/// Room for one SYN_STREAM and a part of the next: what the transport took of a connection is known to the byte
/// (PROTOCOL §3.7).
#[tokio::test(start_paused = true)]
async fn bytes_that_the_transport_did_not_take_were_not_written() {
    for (room, written) in [(8, false), (100, false), (64 * 1024, true)] {
        let (near, mut far) = tokio::io::duplex(room);
        let tracker = TaskTracker::new();
        let session = Session::spawn(near, Bytes::new(), Framing::Plain, true, &tracker);
        let mut stream = session.open(80);
        send(&stream, b"request").await;
        settled().await;
        let mut taken = BytesMut::new();
        far.read_buf(&mut taken).await.unwrap();
        assert!(taken.remaining() <= room);
        drop(far);
        assert_eq!(stream.incoming.recv().await, Inbound::Lost);
        assert_eq!(stream.outgoing.data_written(), written, "{room}");
    }
}

/// A transport that panics when it is read for the second time.
struct Panics(usize);

impl AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0 += 1;
        assert!(self.0 < 2, "a test wants it");
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for Panics {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_panic_of_the_driver_is_told_to_its_streams() {
    let tracker = TaskTracker::new();
    let session = Session::spawn(Panics(0), Bytes::new(), Framing::Plain, true, &tracker);
    let mut stream = session.open(80);
    assert_eq!(session.end().wait().await, SessionEnd::Panicked);
    assert_eq!(stream.incoming.recv().await, Inbound::Lost);
    assert!(session.is_closed());
    // Who comes later learns the same.
    assert_eq!(session.open(80).incoming.recv().await, Inbound::Lost);
}
