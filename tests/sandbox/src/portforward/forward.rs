//! The life of one connection at the runtime (PROTOCOL §3.4).
//!
//! Dial, then two copies. When the first of them ends, by EOF or error, the other gets the grace; then FIN on data, the
//! application's socket is closed both ways, and the error stream ends: with a FIN, or with a text and a RST. There is no
//! half-close toward the application.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::pair::Pair;
use super::stream::Stream;
use super::text;
use super::transport::BufList;
use crate::node::{DialError, PodSandbox};

/// Go copies 32 KiB at a time, and makes a frame of each read (PROTOCOL §2.7).
const CHUNK: usize = 32 * 1024;

/// Where reads are cut from: one allocation for several.
const ROOM: usize = 8 * CHUNK;

/// Runs a connection to its end.
pub(super) async fn run(pair: &Pair, port: u16, sandbox: &Arc<PodSandbox>, grace: Duration) {
    let failure = match sandbox.dial(port).await {
        // Told before the copies begin, so the data stream is not finished but reset.
        Err(DialError::Closed) => Some(text::closed(sandbox, port)),
        Err(DialError::Refused) => {
            let _ = pair.data.finish().await;
            Some(text::refused(sandbox, port))
        }
        Ok(application) => {
            let local = application.local_addr();
            let outcome = copy(&pair.data, application, grace).await;
            outcome.err().zip(local.ok()).map(|(broken, local)| broken.text(sandbox, port, local))
        }
    };
    pair.data.stop_reading().await;
    match failure {
        None => {
            let _ = pair.error.finish().await;
        }
        Some(text) => {
            let _ = pair.error.write(Bytes::from(text)).await;
            pair.data.reset().await;
            pair.error.reset().await;
        }
    }
}

/// The direction that failed.
enum Broken {
    Read(io::Error),
    Write(io::Error),
}

impl Broken {
    fn text(&self, sandbox: &PodSandbox, port: u16, local: SocketAddr) -> String {
        match self {
            Self::Read(error) => text::read_failed(sandbox, port, local, error),
            Self::Write(error) => text::write_failed(sandbox, port, local, error),
        }
    }
}

/// Copies both ways until both directions have ended, or the grace after the first is over. The first error counts.
async fn copy(data: &Stream, mut application: TcpStream, grace: Duration) -> Result<(), Broken> {
    let outcome = {
        let (from, to) = application.split();
        let down = async { download(from, data).await.map_err(Broken::Read) };
        let up = async { upload(data, to).await.map_err(Broken::Write) };
        tokio::pin!(down, up);
        tokio::select! {
            first = &mut down => first.and(tokio::time::timeout(grace, up).await.unwrap_or(Ok(()))),
            first = &mut up => first.and(tokio::time::timeout(grace, down).await.unwrap_or(Ok(()))),
        }
    };
    let _ = data.finish().await;
    outcome
}

/// From the application to the client. A client that is gone is not the application's failure.
async fn download(mut from: ReadHalf<'_>, data: &Stream) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < CHUNK {
            buffer.reserve(ROOM);
        }
        if (&mut from).take(CHUNK as u64).read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        if data.write(buffer.split().freeze()).await.is_err() {
            return Ok(());
        }
    }
}

/// From the client to the application.
async fn upload(data: &Stream, mut to: WriteHalf<'_>) -> io::Result<()> {
    while let Some(payload) = data.read().await {
        to.write_all_buf(&mut BufList::from(payload)).await?;
    }
    Ok(())
}
