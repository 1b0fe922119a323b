//! A client of the legacy WebSocket protocol that sees every message: v4.channel.k8s.io, over plain TCP to kubectl's proxy.

use sandbox::support::{Failure, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer to an upgrade.
const LONGEST_HEAD: usize = 16 * 1024;

/// The key of RFC 6455's example; nobody checks the answer to it here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// An open WebSocket.
pub(crate) struct LegacyWebSocket {
    stream: TcpStream,
}

impl LegacyWebSocket {
    /// Asks for the upgrade of a path, and checks that the protocol is the one that was asked for.
    pub(crate) async fn open(port: u16, path: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        );
        let answer = within("the upgrade", async {
            stream.write_all(head.as_bytes()).await?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") && answer.len() < LONGEST_HEAD {
                answer.push(stream.read_u8().await?);
            }
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        })
        .await??;
        let protocol = "sec-websocket-protocol: v4.channel.k8s.io\r\n";
        if answer.starts_with("HTTP/1.1 101 ") && answer.to_ascii_lowercase().contains(protocol) {
            return Ok(Self { stream });
        }
        Err(format!("no upgrade: {answer}").into())
    }

    /// The next message, as its channel and what it carries; none where the server closes.
    pub(crate) async fn message(&mut self) -> Result<Option<(u8, Vec<u8>)>, Failure> {
        let mut message = Vec::new();
        loop {
            let (head, payload) = within("a frame", self.frame()).await??;
            match head & 0xf {
                CLOSE => return Ok(None),
                PING => continue,
                TEXT => return Err("a text frame, in a protocol of binary ones".into()),
                BINARY | 0 => message.extend(payload),
                other => return Err(format!("a frame with opcode {other}").into()),
            }
            let is_last = head & 0x80 != 0;
            if is_last {
                let (&channel, payload) = message.split_first().ok_or("a message without a channel")?;
                return Ok(Some((channel, payload.to_vec())));
            }
        }
    }

    /// One frame: its first byte and its payload. A server masks nothing.
    async fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let head = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            length => u64::from(length),
        };
        let mut payload = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut payload).await?;
        Ok((head, payload))
    }

    /// Sends a short message on a channel.
    pub(crate) async fn send(&mut self, channel: u8, payload: &[u8]) -> Result<(), Failure> {
        let length = u8::try_from(payload.len() + 1).ok().filter(|length| *length < 126).ok_or("too long")?;
        // A mask of zeros is one.
        let mut frame = vec![0x80 | BINARY, 0x80 | length, 0, 0, 0, 0, channel];
        frame.extend(payload);
        Ok(within("room for a frame", self.stream.write_all(&frame)).await??)
    }
}
