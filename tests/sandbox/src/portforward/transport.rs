//! The byte stream of a session: an upgraded connection as it is, or a WebSocket tunnel over it (PROTOCOL §4).
//!
//! All that goes out passes one lock, as in the runtime: a client that stops reading stops every stream.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::websocket::{self, CLOSE_NORMAL, Piece};

/// An upgraded connection.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The writing half of one.
type Writer = WriteHalf<Box<dyn Connection>>;

/// Room made for a read, and how little of it may be left before more is made.
const READ_ROOM: usize = 128 * 1024;
const MIN_ROOM: usize = 16 * 1024;

/// How long a Close may take (PROTOCOL §4).
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What came in.
pub(super) enum Input {
    /// Bytes of the stream.
    Bytes(Bytes),
    /// The client closed the WebSocket, or sent what no client may: the tunnel ends with a Close.
    Close,
    /// The connection is gone.
    Gone,
}

/// Reads a session's bytes.
pub(super) struct Inbound {
    io: ReadHalf<Box<dyn Connection>>,
    buffer: BytesMut,
    websocket: Option<websocket::Decoder>,
    /// For pongs.
    out: Outbound,
}

/// Writes a session's bytes. Clones share the one lock.
#[derive(Clone)]
pub(super) struct Outbound {
    /// Gone once closed: connections that outlive the session do not keep its socket.
    io: Arc<Mutex<Option<Writer>>>,
    websocket: bool,
    closed: CancellationToken,
    /// Writes so far.
    writes: Arc<AtomicU64>,
}

/// Splits an upgraded connection.
pub(super) fn split(io: Box<dyn Connection>, websocket: bool) -> (Inbound, Outbound) {
    let (read, write) = tokio::io::split(io);
    let out = Outbound {
        io: Arc::new(Mutex::new(Some(write))),
        websocket,
        closed: CancellationToken::new(),
        writes: Arc::default(),
    };
    let websocket = websocket.then(websocket::Decoder::default);
    (Inbound { io: read, buffer: BytesMut::new(), websocket, out: out.clone() }, out)
}

impl Inbound {
    /// The next bytes of the stream.
    pub(super) async fn next(&mut self) -> Input {
        if self.websocket.is_none() {
            return match self.fill().await {
                Ok(true) => Input::Bytes(self.buffer.split().freeze()),
                Ok(false) | Err(_) => Input::Gone,
            };
        }
        loop {
            match self.piece().await {
                Ok(Some(Piece::Data { text: true, .. } | Piece::Close)) => return Input::Close,
                Ok(Some(Piece::Data { payload, .. })) if !payload.is_empty() => return Input::Bytes(payload),
                Ok(Some(_)) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => return Input::Close,
                Ok(None) | Err(_) => return Input::Gone,
            }
        }
    }

    /// The next piece of the WebSocket, pings answered; `None` at the end of the connection.
    pub(super) async fn piece(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(websocket) = &mut self.websocket {
                match websocket.decode(&mut self.buffer) {
                    Ok(Some(Piece::Ping(payload))) => {
                        self.out.send(websocket::pong(payload).into()).await?;
                        continue;
                    }
                    Ok(Some(piece)) => return Ok(Some(piece)),
                    Ok(None) => {}
                    Err(_) => return Err(ErrorKind::InvalidData.into()),
                }
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Waits for the client to send anything at all, as a tunnel's Close does that the server wants (PROTOCOL §4).
    pub(super) async fn stirred(&mut self) {
        self.buffer.clear();
        let _ = self.fill().await;
    }

    /// Reads once; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.buffer.capacity() - self.buffer.len() < MIN_ROOM {
            self.buffer.reserve(READ_ROOM);
        }
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }
}

impl Outbound {
    /// Writes each of `parts` as Go writes it: one write each, which a tunnel makes one message each. They leave
    /// together, for one system call costs less than three and the client cannot tell.
    pub(super) async fn write(&self, parts: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
        let mut rope = Vec::with_capacity(8);
        for part in parts {
            if self.websocket {
                websocket::put_binary(&mut rope, part);
            } else {
                rope.push(part);
            }
        }
        self.send(rope).await
    }

    /// Writes bytes that are framed already.
    pub(super) async fn send(&self, rope: Vec<Bytes>) -> io::Result<()> {
        let mut rope = BufList::from(rope);
        self.writes.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(ErrorKind::BrokenPipe.into()),
            written = async {
                let mut io = self.io.lock().await;
                let io = io.as_mut().ok_or(ErrorKind::BrokenPipe)?;
                io.write_all_buf(&mut rope).await?;
                io.flush().await
            } => written,
        }
    }

    /// How often was written so far: a session that only writes is not idle either.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Makes every write fail from now on, those that wait included; the connection stays.
    pub(super) fn mute(&self) {
        self.closed.cancel();
    }

    /// Ends the connection. A WebSocket gets a Close 1000 first, unless its client does not read.
    pub(super) async fn close(&self) {
        self.mute();
        let Some(mut io) = self.io.lock().await.take() else { return };
        if self.websocket {
            let _ = tokio::time::timeout(CLOSE_LIMIT, io.write_all(CLOSE_NORMAL)).await;
        }
        let _ = tokio::time::timeout(CLOSE_LIMIT, io.shutdown()).await;
    }

    /// Lets go of a connection that its client has ended.
    pub(super) async fn abandon(&self) {
        self.mute();
        drop(self.io.lock().await.take());
    }
}

/// Byte strings written as one.
#[derive(Debug, Default)]
pub(super) struct BufList(VecDeque<Bytes>);

impl From<Vec<Bytes>> for BufList {
    fn from(parts: Vec<Bytes>) -> Self {
        Self(parts.into_iter().filter(|part| !part.is_empty()).collect())
    }
}

impl Buf for BufList {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |part| part)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.0.front_mut() {
            if count < part.len() {
                part.advance(count);
                return;
            }
            count -= part.len();
            self.0.pop_front();
        }
        assert_eq!(count, 0, "advanced beyond the end");
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        slices.iter_mut().zip(&self.0).map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }
}
