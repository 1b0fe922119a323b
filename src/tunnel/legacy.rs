//! The last resort: `v4.channel.k8s.io`, one upgrade per forwarded connection (PROTOCOL §5).
//!
//! Each binary message begins with a channel: 0 is data, 1 is error text, and the first message on each is the port,
//! which says nothing new. There is no half-close and no multiplexing; the server ends all by closing, and so do we where
//! nothing more comes from the client, a while after as the runtime does elsewhere. What a session does for many
//! streams this does for one, behind the same [`Stream`].

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncWriteExt as _, split},
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    buffers,
    limits::Limits,
    status::SessionStatus,
    stream::{Gauge, Stream, StreamCommand, StreamEvent, StreamShared},
    upgrade::Upgraded,
    websocket::{self, WebSocketEvent},
};
use crate::spdy::{frame::HEAD, session::PairEnd};

/// What of an error text is kept.
const MAX_ERROR_TEXT: usize = 4 * 1024;

/// What an application has left for an answer once its client has finished, as over SPDY (PROTOCOL §3.4).
const FINISHED: Duration = Duration::from_secs(1);

/// How long the farewell may take once nobody has the stream any more.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

const CHANNEL_DATA: u8 = 0;

/// Bytes of the port that opens each channel.
const PORT_LENGTH: usize = 2;

/// Drives one upgraded connection as one stream.
pub(super) fn stream(
    upgraded: Upgraded,
    port: u16,
    blocked: Gauge,
    limits: &Arc<Limits>,
    tracker: &TaskTracker,
) -> Stream {
    // Bounded by the one stream's permits.
    let (commands, receiver) = mpsc::unbounded_channel();
    let status = Arc::new(SessionStatus::new(Arc::clone(limits)));
    tracker.spawn(run(upgraded, receiver, Arc::clone(&status.drained)));
    Stream::open(commands, &status, port, blocked)
}

async fn run(upgraded: Upgraded, mut commands: mpsc::UnboundedReceiver<StreamCommand>, drained: Arc<Notify>) {
    let Some(StreamCommand::Open { stream, inbound, .. }) = commands.recv().await else { return };
    let (mut reader, mut writer) = split(upgraded.io);
    let (told, told_to) = (inbound.clone(), inbound.clone());
    let write = async {
        while let Some(command) = commands.recv().await {
            match command {
                StreamCommand::Data(stream, mut chunk) => {
                    // The frame's head is one byte here: the channel, in the last of the eight kept free for it.
                    chunk.advance(HEAD - 1);
                    let bytes = chunk.bytes_mut();
                    bytes[0] = CHANNEL_DATA;
                    let key = fastrand::u32(..).to_ne_bytes();
                    let mut head = BytesMut::with_capacity(websocket::MAX_HEAD);
                    websocket::put_binary_head(&mut head, bytes.len(), key);
                    websocket::mask(bytes, key, 0);
                    stream.data_written.store(true, std::sync::atomic::Ordering::Relaxed);
                    writer.write_all(&head).await?;
                    writer.write_all(bytes).await?;
                    writer.flush().await?;
                }
                // There is no half-close: an application that is still sending is cut off, as it would be elsewhere.
                StreamCommand::Finish(_) => {
                    let _ = timeout(FINISHED, commands.recv()).await;
                    let _ = told.send(StreamEvent::DataEnd);
                    let _ = told.send(StreamEvent::Ended(PairEnd::Clean));
                    break;
                }
                StreamCommand::Reset(_) => break,
                StreamCommand::HalfClose(_) | StreamCommand::Open { .. } | StreamCommand::Probe => {}
            }
        }
        writer.write_all(&websocket::close(fastrand::u32(..).to_ne_bytes())).await?;
        writer.shutdown().await
    };
    let read = async {
        let mut inbox = MessageReader::new(inbound, stream);
        let mut bytes = upgraded.early;
        while inbox.take(bytes) {
            inbox.wait_for_room(&drained).await;
            match poll_fn(|cx| buffers::poll_read(Pin::new(&mut reader), cx)).await {
                Ok(read) if !read.is_empty() => bytes = read,
                _ => return,
            }
        }
    };
    let gone = async {
        told_to.closed().await;
        sleep(CLOSE_WITHIN).await;
    };
    tokio::select! {
        // Nobody has the stream any more, and the server takes no farewell.
        () = gone => {}
        // A server that has closed takes no more bytes, and why it did is still to be read.
        Ok(()) = write => {}
        () = read => {}
    }
}

/// The inbound half: messages into what the stream is told.
struct MessageReader {
    inbound: mpsc::UnboundedSender<StreamEvent>,
    shared: Arc<StreamShared>,
    decoder: websocket::WebSocketDecoder,
    /// The channel of the message being read.
    channel: Option<u8>,
    /// Bytes of the port still to be skipped, on the data and on the error channel.
    skip: [usize; 2],
    error_text: Vec<u8>,
}

impl MessageReader {
    fn new(inbound: mpsc::UnboundedSender<StreamEvent>, shared: Arc<StreamShared>) -> Self {
        let (decoder, skip) = (websocket::WebSocketDecoder::default(), [PORT_LENGTH; 2]);
        Self { inbound, shared, decoder, channel: None, skip, error_text: Vec::new() }
    }

    /// Takes in what was read; false once the stream is over.
    fn take(&mut self, mut bytes: Bytes) -> bool {
        loop {
            match self.decoder.decode(&mut bytes) {
                Ok(None) => return true,
                Ok(Some(WebSocketEvent::Payload { bytes, starts, .. })) => self.payload(bytes, starts),
                // No pings are known to come (PROTOCOL §5).
                Ok(Some(WebSocketEvent::Ping(_))) => {}
                Ok(Some(WebSocketEvent::Close(_))) => {
                    let end = if self.error_text.is_empty() {
                        PairEnd::Clean
                    } else {
                        PairEnd::Failed(String::from_utf8_lossy(&self.error_text).into_owned())
                    };
                    let _ = self.inbound.send(StreamEvent::DataEnd);
                    let _ = self.inbound.send(StreamEvent::Ended(end));
                    return false;
                }
                Err(error) => {
                    tracing::debug!(%error, "legacy connection ended");
                    return false;
                }
            }
        }
    }

    fn payload(&mut self, mut bytes: Bytes, starts: bool) {
        if starts {
            self.channel = None;
        }
        let channel = match self.channel {
            Some(channel) => channel,
            None if bytes.is_empty() => return,
            None => *self.channel.insert(bytes.get_u8()),
        };
        let Some(skip) = self.skip.get_mut(usize::from(channel)) else { return };
        let port = (*skip).min(bytes.len());
        bytes.advance(port);
        *skip -= port;
        if bytes.is_empty() {
            return;
        }
        if channel == CHANNEL_DATA {
            let (bytes, _) = self.shared.add_buffered(bytes);
            let _ = self.inbound.send(StreamEvent::Data(bytes));
        } else {
            let room = MAX_ERROR_TEXT.saturating_sub(self.error_text.len());
            self.error_text.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
    }

    /// Waits while the local client has too much to take.
    async fn wait_for_room(&self, drained: &Notify) {
        while self.shared.is_full() {
            drained.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{cluster::http::io::Io, spdy::frame::MAX_DATA, tunnel::stream::Chunk};

    #[tokio::test]
    async fn a_server_that_takes_nothing_does_not_keep_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _far = listener.accept().await.unwrap();
        let tracker = TaskTracker::new();
        let stream = stream(
            Upgraded { io: Io::Tcp(near), early: Bytes::new() },
            80,
            Gauge::default(),
            &Arc::default(),
            &tracker,
        );
        while let Ok(permit) = timeout(Duration::from_millis(200), stream.send.permit()).await {
            let mut chunk = Chunk::new(permit);
            chunk.put(&vec![7; MAX_DATA]);
            stream.send.send(chunk);
        }
        drop(stream);
        tracker.close();
        timeout(CLOSE_WITHIN * 10, tracker.wait()).await.expect("it ends");
    }
}
