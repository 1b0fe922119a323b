//! A raw client of the port-forward server, and the recorded transcripts it replays.

// Helpers of tests: what a test may do they may too.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kubectl_fwd::spdy::frame::{self, Decoder, Frame, put_syn_stream};
use kubectl_fwd::spdy::header::HeaderEncoder;
use sandbox::node::Node;
use sandbox::portforward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server listens.
#[derive(Clone, Copy)]
pub struct Peer(SocketAddr);

/// Serves port-forward requests for the pod `uid`.
pub async fn start(node: Node) -> Peer {
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

pub struct Client {
    stream: TcpStream,
    tunnel: bool,
    encoder: HeaderEncoder,
    raw: BytesMut,
    spdy: BytesMut,
}

impl Client {
    /// Upgrades to SPDY, bare or in a tunnel.
    pub async fn upgrade(peer: &Peer, tunnel: bool) -> Self {
        let headers = if tunnel {
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"
        } else {
            "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n"
        };
        Self::connect(peer, if tunnel { "GET" } else { "POST" }, "", headers, tunnel).await
    }

    /// Upgrades to the protocol of channels.
    pub async fn legacy(peer: &Peer, query: &str) -> Self {
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
    pub async fn send(&mut self, bytes: &[u8]) {
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

    pub fn syn(&mut self, stream: u32, fin: bool, headers: &[(&str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        put_syn_stream(&mut out, &mut self.encoder, stream, fin, headers);
        out
    }

    /// Both SYN_STREAMs of a connection.
    pub fn pair(&mut self, error: u32, data: u32, port: u16) -> BytesMut {
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
    pub async fn frame(&mut self) -> Frame {
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

    pub async fn frames(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.frame().await);
        }
        frames
    }

    /// The next WebSocket frame's payload; `None` for a Close.
    pub async fn message(&mut self) -> Option<Bytes> {
        loop {
            if let Some((first, payload)) = take_message(&mut self.raw, false) {
                return (first != 0x88).then_some(payload);
            }
            assert!(self.fill().await, "the connection ended");
        }
    }

    /// What an error stream says before its reset.
    pub async fn error_text(&mut self, stream: u32) -> String {
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
    pub async fn http_body(&mut self, stream: u32, length: usize) -> BytesMut {
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
    pub async fn expect_end(&mut self) {
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
    pub async fn expect_silence(&mut self) {
        let read =
            tokio::time::timeout(Duration::from_millis(100), self.stream.read_buf(&mut self.raw)).await;
        assert!(read.is_err(), "the server spoke: {:?}", self.raw);
    }
}

/// What happened between two sends of the recorded client.
#[derive(Default)]
pub struct Step {
    pub pod_deleted: bool,
    pub sent: Vec<u8>,
    pub received: Vec<Frame>,
    pub took: Duration,
}

pub struct Transcript {
    tunnel: bool,
    ends: bool,
    steps: Vec<Step>,
}

impl Transcript {
    pub fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire").join(format!("{name}.jsonl"));
        let tunnel = name.ends_with(".tunnel");
        let (mut client, mut server) = (Side::new(tunnel), Side::new(tunnel));
        let mut transcript = Self { tunnel, ends: false, steps: vec![Step::default()] };
        let mut sent_at = 0.0;
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = line["t_ms"].as_f64().unwrap();
            let bytes = || unhex(line["hex"].as_str().unwrap());
            if transcript.steps.last().is_some_and(|step| !step.received.is_empty() && line["dir"] == "c>s") {
                transcript.steps.push(Step::default());
            }
            let step = transcript.steps.last_mut().unwrap();
            match line["dir"].as_str().unwrap() {
                "c>s" => {
                    sent_at = at;
                    step.sent.extend(client.feed(&bytes()));
                }
                "s>c" => {
                    let spdy = server.feed(&bytes());
                    server.spdy.extend_from_slice(&spdy);
                    while let Some(frame) = take_frame(&mut server.spdy) {
                        step.received.push(frame);
                        step.took = Duration::from_secs_f64((at - sent_at) / 1000.0);
                    }
                }
                _ => {
                    let text = line["text"].as_str().unwrap();
                    step.pod_deleted |= text.starts_with("pod is deleted now");
                    transcript.ends |= text == "EOF from server";
                }
            }
        }
        transcript
    }

    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    pub fn ends(&self) -> bool {
        self.ends
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// One direction of a transcript.
struct Side {
    tunnel: bool,
    upgraded: bool,
    raw: BytesMut,
    spdy: BytesMut,
}

impl Side {
    fn new(tunnel: bool) -> Self {
        Self { tunnel, upgraded: false, raw: BytesMut::new(), spdy: BytesMut::new() }
    }

    /// Takes recorded bytes; returns those of the SPDY stream among them.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.raw.extend_from_slice(bytes);
        if !self.upgraded {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return Vec::new() };
            let _ = self.raw.split_to(end + 4);
            self.upgraded = true;
        }
        if !self.tunnel {
            return self.raw.split().to_vec();
        }
        let mut spdy = Vec::new();
        while let Some((_, payload)) = take_message(&mut self.raw, true) {
            spdy.extend(payload);
        }
        spdy
    }
}

/// Takes a whole WebSocket frame: its first byte and its payload.
fn take_message(raw: &mut BytesMut, any: bool) -> Option<(u8, Bytes)> {
    let [first, second, ..] = raw[..] else { return None };
    let masked = second & 0x80 != 0;
    assert!(any || !masked, "a server's frame is masked");
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let head = 2 + extended + if masked { 4 } else { 0 };
    if raw.len() < head {
        return None;
    }
    let length = match extended {
        0 => usize::from(second & 0x7f),
        _ => raw[2..2 + extended].iter().fold(0, |length, &byte| length << 8 | usize::from(byte)),
    };
    if raw.len() < head + length {
        return None;
    }
    let head = raw.split_to(head);
    let mut payload = raw.split_to(length);
    if masked {
        for (byte, mask) in payload.iter_mut().zip(head[2 + extended..].iter().cycle()) {
            *byte ^= mask;
        }
    }
    Some((first, payload.freeze()))
}

/// Takes a whole SPDY frame.
fn take_frame(spdy: &mut BytesMut) -> Option<Frame> {
    if spdy.len() < frame::HEAD {
        return None;
    }
    let length = spdy[5..8].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if spdy.len() < frame::HEAD + length {
        return None;
    }
    let mut bytes = spdy.split_to(frame::HEAD + length).freeze();
    Some(Decoder::default().decode(&mut bytes).unwrap().unwrap())
}

/// Each stream's frames in order, made comparable: ids, paths, dates and ephemeral ports out of the texts.
pub fn by_stream(frames: &[Frame]) -> BTreeMap<u32, Vec<String>> {
    let mut streams = BTreeMap::<u32, Vec<String>>::new();
    for frame in frames {
        let (stream, what) = match frame {
            Frame::SynReply { stream, fin } => (*stream, format!("reply fin={fin}")),
            Frame::Data { stream, payload, fin } => {
                (*stream, format!("data fin={fin} {}", comparable(&String::from_utf8_lossy(payload))))
            }
            Frame::Reset { stream, status } => (*stream, format!("reset {status}")),
            other => (0, format!("{other:?}")),
        };
        streams.entry(stream).or_default().push(what);
    }
    // Pings of different queues race.
    if let Some(session) = streams.get_mut(&0) {
        session.sort();
    }
    streams
}

fn comparable(text: &str) -> String {
    let mut lines: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    lines.sort_unstable();
    let text = lines.join("\n");
    let mut out = String::new();
    for word in text.split_inclusive([' ', '"', ',', '>', ':', '-']) {
        let bare = word.trim_end_matches([' ', '"', ',', '>', ':', '-']);
        let id = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let port = bare.len() == 5 && bare.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if id || port { "_" } else { bare });
        out.push_str(&word[bare.len()..]);
    }
    // The path of the network namespace.
    match out.split_once("network namespace \"/") {
        Some((before, after)) => {
            let (_, after) = after.split_once('"').unwrap();
            format!("{before}network namespace \"/_\"{after}")
        }
        None => out,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
