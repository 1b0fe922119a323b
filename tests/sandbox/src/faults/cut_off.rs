//! A pod that is cut off behind the API server: its node is gone, and nobody says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// A session's connection, which leads nowhere once its pod is cut off: what the client sends is taken, and nothing comes.
pub(crate) struct CutOffIo<T> {
    io: T,
    cut_off: CancellationToken,
}

impl<T> CutOffIo<T> {
    pub(crate) fn new(io: T, cut_off: CancellationToken) -> Self {
        Self { io, cut_off }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for CutOffIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.cut_off.is_cancelled() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let mut nowhere = [0; 4096];
        loop {
            let mut nowhere = ReadBuf::new(&mut nowhere);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut nowhere))?;
            if nowhere.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for CutOffIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut_off.is_cancelled() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
