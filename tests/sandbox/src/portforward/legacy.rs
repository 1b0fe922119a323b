//! The legacy WebSocket protocol (PROTOCOL §5): a port's data on an even channel, its error text on the odd one after it.
//!
//! Every port is dialled at once. Neither half-closes nor the end of one port among several can be told; when the last
//! port ends, the WebSocket is closed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::text;
use super::transport::{self, Connection, Outbound};
use crate::node::{DialError, PodSandbox};
use crate::websocket::{self, Piece};

/// What one read of the application carries, as in [`super::forward`].
const CHUNK: usize = 32 * 1024;

/// Messages waiting for an application to take them.
const BACKLOG: usize = 1;

/// Serves one WebSocket to its end.
pub(super) async fn serve(io: Box<dyn Connection>, sandbox: Arc<PodSandbox>, ports: Vec<u16>, base64: bool) {
    let (mut inbound, out) = transport::split(io, true);
    let channels = Channels { out: out.clone(), base64 };
    for (index, &port) in ports.iter().enumerate() {
        for channel in [index * 2, index * 2 + 1] {
            let _ = channels.send(channel as u8, Bytes::copy_from_slice(&port.to_le_bytes())).await;
        }
    }
    let mut connections = JoinSet::new();
    let mut inputs = Vec::new();
    for (index, &port) in ports.iter().enumerate() {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        inputs.push(sender);
        connections.spawn(connection(channels.clone(), sandbox.clone(), index, port, receiver));
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    let reader = async {
        let mut message = BytesMut::new();
        while let Ok(Some(piece)) = inbound.piece().await {
            match piece {
                Piece::Data { payload, end, .. } => {
                    message.extend_from_slice(&payload);
                    if end && !dispatch(message.split().freeze(), base64, &inputs).await {
                        return;
                    }
                }
                Piece::Close => return,
                Piece::Ping(_) | Piece::Pong => {}
            }
        }
    };
    tokio::select! {
        () = reader => {}
        () = ended => {}
    }
    out.close().await;
}

/// Hands a message to its port; `false` if there is no such channel.
async fn dispatch(mut message: Bytes, base64: bool, inputs: &[mpsc::Sender<Bytes>]) -> bool {
    if message.is_empty() {
        return true;
    }
    let mut channel = message.split_to(1)[0];
    if base64 {
        channel = channel.wrapping_sub(b'0');
        let Ok(plain) = STANDARD.decode(&message) else { return false };
        message = plain.into();
    }
    let Some(input) = inputs.get(usize::from(channel / 2)) else { return false };
    if channel.is_multiple_of(2) {
        // An application that is gone takes nothing, and nobody is told (PROTOCOL §5).
        let _ = input.send(message).await;
    }
    true
}

/// One port's connection.
async fn connection(
    channels: Channels,
    sandbox: Arc<PodSandbox>,
    index: usize,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
) {
    let (data, error) = (index as u8 * 2, index as u8 * 2 + 1);
    let failure = match sandbox.dial(port).await {
        Err(DialError::Refused) => Some(text::refused(&sandbox, port)),
        Err(DialError::Closed) => Some(text::closed(&sandbox, port)),
        Ok(mut application) => {
            let local = application.local_addr();
            let (mut from, mut to) = application.split();
            let download = async {
                let mut buffer = BytesMut::with_capacity(CHUNK);
                while (&mut from).take(CHUNK as u64).read_buf(&mut buffer).await? > 0 {
                    if channels.send(data, buffer.split().freeze()).await.is_err() {
                        break;
                    }
                    buffer.reserve(CHUNK);
                }
                Ok(())
            };
            let upload = async {
                while let Some(message) = input.recv().await {
                    to.write_all(&message).await?;
                }
                Ok(())
            };
            let outcome: Result<(), std::io::Error> = tokio::select! {
                ended = download => ended,
                ended = upload => ended,
            };
            let failed = outcome.err().zip(local.ok());
            failed.map(|(error, local)| text::read_failed(&sandbox, port, local, &error))
        }
    };
    if let Some(text) = failure {
        let _ = channels.send(error, Bytes::from(text)).await;
    }
}

/// Writes messages on channels.
#[derive(Clone)]
struct Channels {
    out: Outbound,
    base64: bool,
}

impl Channels {
    async fn send(&self, channel: u8, payload: Bytes) -> std::io::Result<()> {
        let mut message = BytesMut::with_capacity(1 + payload.len() * 4 / 3 + 4);
        let mut rope = Vec::new();
        if self.base64 {
            message.put_u8(b'0' + channel);
            message.put_slice(STANDARD.encode(payload).as_bytes());
            websocket::put_text(&mut rope, message.freeze());
        } else {
            message.put_u8(channel);
            message.put_slice(&payload);
            websocket::put_binary(&mut rope, message.freeze());
        }
        self.out.send(rope).await
    }
}
