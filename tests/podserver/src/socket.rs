//! An application's end of a connection: counts what passes, and ends with a reset when its container is killed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::container::Life;
use super::stats::Counts;

/// A connection as its application sees it.
pub(super) struct Socket {
    stream: TcpStream,
    counts: Arc<Counts>,
    life: Arc<Life>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, counts: Arc<Counts>, life: Arc<Life>) -> Self {
        let _ = stream.set_nodelay(true);
        counts.opened();
        Self { stream, counts, life }
    }

    /// Resolves when there is something to read, or the peer is gone.
    pub(super) async fn readable(&self) {
        let _ = self.stream.readable().await;
    }

    /// Ends the connection with a RST.
    pub(super) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.life.is_killed() {
            let _ = self.stream.set_zero_linger();
        }
        self.counts.closed();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.counts.received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.counts.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.counts.sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
