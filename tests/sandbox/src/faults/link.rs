//! A connection under faults.
//!
//! The socket lies in the [`Link`], behind a lock, so that a fault can take it away at once whoever holds the [`Io`] and
//! whether they poll it or not.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::{Shared, UNLIMITED};

/// Limited reading comes in so many pieces a second.
const PIECES: u64 = 20;

/// A socket that a fault can reach.
pub(super) struct Link {
    stream: Mutex<Option<TcpStream>>,
    reader: AtomicWaker,
    writer: AtomicWaker,
    orphaned: AtomicBool,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream: Mutex::new(Some(stream)),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            orphaned: AtomicBool::new(false),
        }
    }

    /// Ends the connection now.
    pub(super) fn end(&self, reset: bool) {
        if let Some(stream) = self.stream().take()
            && reset
        {
            let _ = stream.set_zero_linger();
        }
        self.wake();
    }

    /// Bytes vanish on it from now on.
    pub(super) fn orphan(&self) {
        self.orphaned.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }

    fn stream(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.stream.lock()
    }

    /// Runs `poll` on the socket; an error if a fault took it.
    fn poll<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.stream().as_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        }
    }
}

/// An accepted connection under the faults of its cluster.
pub struct Io(Kind);

enum Kind {
    Direct(Direct),
    /// The near end of a delay line.
    Delayed(DuplexStream),
}

struct Direct {
    link: Arc<Link>,
    shared: Arc<Shared>,
    /// Until when limited reading rests.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(super) fn direct(link: Arc<Link>, shared: Arc<Shared>) -> Self {
        Self(Kind::Direct(Direct { link, shared, rest: None }))
    }

    pub(super) fn delayed(near: DuplexStream) -> Self {
        Self(Kind::Delayed(near))
    }
}

impl Direct {
    /// Whether bytes vanish.
    fn is_hole(&self) -> bool {
        self.shared.black_hole.load(Ordering::Relaxed) || self.link.orphaned.load(Ordering::Relaxed)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.link.reader.register(cx.waker());
        if self.is_hole() {
            return self.swallow(cx);
        }
        if self.shared.frozen.load(Ordering::Relaxed) {
            return self.link.poll(|_| Poll::Pending);
        }
        match self.shared.read_rate.load(Ordering::Relaxed) {
            UNLIMITED => self.link.poll(|stream| stream.poll_read(cx, buf)),
            // Taken by a fault, it is not frozen but gone.
            0 => self.link.poll(|_| Poll::Pending),
            rate => self.poll_read_slowly(cx, buf, rate),
        }
    }

    /// Reads into nowhere, to the end of time.
    fn swallow(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut nowhere = [0; 4096];
        loop {
            let mut nowhere = ReadBuf::new(&mut nowhere);
            match ready!(self.link.poll(|stream| stream.poll_read(cx, &mut nowhere))) {
                Ok(()) if !nowhere.filled().is_empty() => {}
                // The client's end is lost as well; but a fault's reset is ours.
                _ => return self.link.poll(|_| Poll::Pending),
            }
        }
    }

    fn poll_read_slowly(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        rate: u64,
    ) -> Poll<io::Result<()>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let limit = (rate / PIECES).clamp(1, 64 * 1024) as usize;
        let mut piece = vec![0; limit.min(buf.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(self.link.poll(|stream| stream.poll_read(cx, &mut piece)))?;
        let read = piece.filled();
        buf.put_slice(read);
        let rest = Duration::from_micros(read.len() as u64 * 1_000_000 / rate);
        self.rest = Some(Box::pin(tokio::time::sleep_until(Instant::now() + rest)));
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &self,
        length: usize,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.link.writer.register(cx.waker());
        if self.is_hole() {
            return self.link.poll(|_| Poll::Ready(Ok(length)));
        }
        if self.shared.frozen.load(Ordering::Relaxed) {
            return self.link.poll(|_| Poll::Pending);
        }
        self.link.poll(|stream| write(stream, cx))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Direct(direct) => direct.poll_read(cx, buf),
            Kind::Delayed(near) => Pin::new(near).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Direct(direct) => direct.poll_write(buf.len(), cx, |stream, cx| stream.poll_write(cx, buf)),
            Kind::Delayed(near) => Pin::new(near).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Direct(direct) => {
                let length = bufs.iter().map(|buf| buf.len()).sum();
                direct.poll_write(length, cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
            }
            Kind::Delayed(near) => Pin::new(near).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            // TCP has nothing to flush.
            Kind::Direct(_) => Poll::Ready(Ok(())),
            Kind::Delayed(near) => Pin::new(near).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Direct(direct) if direct.is_hole() => Poll::Ready(Ok(())),
            Kind::Direct(direct) => direct.link.poll(|stream| stream.poll_shutdown(cx)),
            Kind::Delayed(near) => Pin::new(near).poll_shutdown(cx),
        }
    }
}
