//! A delay line: what goes in at one end comes out at the other a fixed time later, as far apart as it went in.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::link::Io;

/// Bytes on their way, at most: chunks of 64 KiB, enough for some 300 MB/s at 50 ms.
const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 256;

/// Puts a delay line before a connection.
pub(super) fn delay(io: Io, latency: Duration) -> DuplexStream {
    let (near, far) = tokio::io::duplex(CHUNK);
    let (far_read, far_write) = tokio::io::split(far);
    let (io_read, io_write) = tokio::io::split(io);
    line(io_read, far_write, latency);
    line(far_read, io_write, latency);
    near
}

/// One direction.
fn line(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    latency: Duration,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Bytes)>(CHUNKS);
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            // An end of either kind travels as an empty chunk.
            let read = from.read_buf(&mut buffer).await.unwrap_or(0);
            let sent = sender.send((Instant::now() + latency, buffer.split().freeze())).await;
            if read == 0 || sent.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    });
}
