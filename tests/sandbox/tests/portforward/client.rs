//! A port-forward server, and a raw client of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kubectl_fwd::spdy::frame::{Frame, put_syn_stream};
use kubectl_fwd::spdy::header::HeaderEncoder;
use sandbox::node::Node;
use sandbox::portforward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::framing::{find, take_frame, take_message};

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server listens.
#[derive(Clone, Copy)]
pub(crate) struct Peer(SocketAddr);

/// Serves port-forward requests for the pod `uid`.
pub(crate) async fn start(node: Node) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let node = node.clone();
            let service = service_fn(move |request| {
                let node = node.clone();
                async move {
                    Ok::<_, std::convert::Infallible>(portforward::handle(&node, Some("uid"), request).await)
                }
            });
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades(),
            );
        }
    });
    Peer(address)
}

/// A client of one connection to the server.
pub(crate) struct Client {
    stream: TcpStream,
    tunnel: bool,
    encoder: HeaderEncoder,
    raw: BytesMut,
    spdy: BytesMut,
}

impl Client {
    /// Upgrades to SPDY, bare or in a tunnel.
    pub(crate) async fn upgrade(peer: &Peer, tunnel: bool) -> Self {
        let headers = if tunnel {
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"
        } else {
            "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n"
        };
        Self::connect(peer, if tunnel { "GET" } else { "POST" }, "", headers, tunnel).await
    }

    /// Upgrades to the protocol of channels.
    pub(crate) async fn legacy(peer: &Peer, query: &str) -> Self {
        let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                       dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n";
        Self::connect(peer, "GET", &format!("?{query}"), headers, true).await
    }

    async fn connect(peer: &Peer, method: &str, query: &str, headers: &str, tunnel: bool) -> Self {
        let mut stream = TcpStream::connect(peer.0).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "{method} /api/v1/namespaces/default/pods/x/portforward{query} HTTP/1.1\r\nHost: x\r\n\
             Connection: Upgrade\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut client = Self {
            stream,
            tunnel,
            encoder: HeaderEncoder::default(),
            raw: BytesMut::new(),
            spdy: BytesMut::new(),
        };
        let head = loop {
            if let Some(end) = find(&client.raw, b"\r\n\r\n") {
                break client.raw.split_to(end + 4);
            }
            assert!(client.fill().await, "the server closed before its answer");
        };
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// Sends bytes of the SPDY stream.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.tunnel {
            return self.stream.write_all(bytes).await.unwrap();
        }
        let mut message = vec![0x82, 0xff];
        message.extend((bytes.len() as u64).to_be_bytes());
        let mask = [1, 2, 3, 4];
        message.extend(mask);
        message.extend(bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&message).await.unwrap();
    }

    pub(crate) fn syn(&mut self, stream: u32, fin: bool, headers: &[(&str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        put_syn_stream(&mut out, &mut self.encoder, stream, fin, headers);
        out
    }

    /// Both SYN_STREAMs of a connection.
    pub(crate) fn pair(&mut self, error: u32, data: u32, port: u16) -> BytesMut {
        let (port, request) = (port.to_string(), error.to_string());
        let common = [("port", &port[..]), ("requestid", &request[..])];
        let mut out = self.syn(error, true, &[common[0], common[1], ("streamtype", "error")]);
        out.unsplit(self.syn(data, false, &[common[0], common[1], ("streamtype", "data")]));
        out
    }

    async fn fill(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await;
        read.expect("the server says nothing").is_ok_and(|read| read > 0)
    }

    /// The next whole frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = take_frame(&mut self.spdy) {
                return frame;
            }
            while self.tunnel
                && let Some((_, payload)) = take_message(&mut self.raw, false)
            {
                self.spdy.extend_from_slice(&payload);
            }
            if !self.tunnel {
                self.spdy.unsplit(self.raw.split());
            }
            if let Some(frame) = take_frame(&mut self.spdy) {
                return frame;
            }
            assert!(self.fill().await, "the connection ended");
        }
    }

    pub(crate) async fn frames(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.frame().await);
        }
        frames
    }

    /// The next WebSocket frame's payload; `None` for a Close.
    pub(crate) async fn message(&mut self) -> Option<Bytes> {
        loop {
            if let Some((first, payload)) = take_message(&mut self.raw, false) {
                return (first != 0x88).then_some(payload);
            }
            assert!(self.fill().await, "the connection ended");
        }
    }

    /// What an error stream says before its reset.
    pub(crate) async fn error_text(&mut self, stream: u32) -> String {
        let mut text = String::new();
        loop {
            match self.frame().await {
                Frame::Data { stream: from, payload, .. } if from == stream => {
                    text.push_str(std::str::from_utf8(&payload).unwrap());
                }
                Frame::Reset { stream: from, status: 5 } if from == stream => return text,
                _ => {}
            }
        }
    }

    /// The last `length` bytes of the answer on a stream.
    pub(crate) async fn http_body(&mut self, stream: u32, length: usize) -> BytesMut {
        let mut got = BytesMut::new();
        loop {
            if let Some(end) = find(&got[..got.len().min(1024)], b"\r\n\r\n")
                && got.len() == end + 4 + length
            {
                return got.split_off(end + 4);
            }
            if let Frame::Data { stream: from, payload, .. } = self.frame().await
                && from == stream
            {
                got.extend_from_slice(&payload);
            }
        }
    }

    /// The connection ends, in a tunnel after a Close 1000.
    pub(crate) async fn expect_end(&mut self) {
        if self.tunnel {
            while self.fill().await {}
            let (first, payload) = take_message(&mut self.raw, false).expect("a Close");
            assert_eq!((first, &payload[..]), (0x88, &[0x03, 0xe8][..]));
        } else {
            while self.fill().await {}
        }
        assert!(self.raw.is_empty());
    }

    /// Nothing comes for a moment.
    pub(crate) async fn expect_silence(&mut self) {
        let read =
            tokio::time::timeout(Duration::from_millis(100), self.stream.read_buf(&mut self.raw)).await;
        assert!(read.is_err(), "the server spoke: {:?}", self.raw);
    }
}
