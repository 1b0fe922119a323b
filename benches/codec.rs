//! The codec, against a memcpy of the same bytes, and what it allocates.
//!
//! Bytes come as a Go server writes them: a DATA frame of 32 KiB is three WebSocket messages, the third in two
//! fragments (PROTOCOL §2.7, §4), read in pieces of 64 KiB that begin anywhere. They leave as frames of 64 KiB. The
//! allocations are printed first: for the decoders alone, and for a whole session over a transport in memory. The WebSocket
//! framing is measured beside a library's, over the same streams in memory: reading from one, writing to another.

#![expect(clippy::print_stdout, reason = "the allocations are told beside criterion's times")]

use std::{
    hint::black_box,
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kubectl_fwd::{
    spdy::{frame, session},
    tunnel::{
        session::Session,
        stream::{Chunk, StreamEvent},
        websocket::{self, WebSocketEvent},
        write_queue::Framing,
    },
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// What a Go server puts into a frame, and what we read at once.
/// What a client sends, a frame of it.
static PAYLOAD: [u8; frame::MAX_DATA] = [7; frame::MAX_DATA];

const GO_FRAME: usize = 32 * 1024;
const READ: usize = 64 * 1024;

/// The data stream of a session's first pair.
const STREAM: u32 = 7;

/// Frames a run.
const FRAMES: usize = 64;

const KEY: [u8; 4] = [1, 2, 3, 250];

fn spdy_frame() -> Vec<u8> {
    let mut frame = frame::data_head(STREAM, GO_FRAME, false).to_vec();
    frame.resize(frame.len() + GO_FRAME, 7);
    frame
}

/// The same in WebSocket messages.
fn messages() -> Vec<u8> {
    let frame = spdy_frame();
    let mut out = Vec::new();
    for half in [&frame[..4], &frame[4..frame::HEAD]] {
        out.extend([0x82, 4]);
        out.extend(half);
    }
    out.extend([0x02, 127]);
    out.extend((GO_FRAME as u64).to_be_bytes());
    out.extend(&frame[frame::HEAD..]);
    out.extend([0x80, 0]);
    out
}

/// What [`FRAMES`] of `frame` look like when read in pieces of `cut` bytes.
fn pieces(frame: &[u8], cut: usize) -> Vec<Bytes> {
    frame.repeat(FRAMES).chunks(cut).map(Bytes::copy_from_slice).collect()
}

/// A session that opened its first pair.
fn opened() -> session::SpdySession {
    let mut session = session::SpdySession::default();
    session.open(80, &mut BytesMut::new());
    session
}

fn decode(session: &mut session::SpdySession, mut bytes: Bytes) -> usize {
    let mut events = 0;
    while let Ok(Some(event)) = session.receive(&mut bytes) {
        black_box(event);
        events += 1;
    }
    events
}

fn unframe(decoder: &mut websocket::WebSocketDecoder, session: &mut session::SpdySession, mut bytes: Bytes) {
    while let Ok(Some(piece)) = decoder.decode(&mut bytes) {
        if let WebSocketEvent::Payload { bytes, .. } = piece {
            decode(session, bytes);
        }
    }
}

/// Builds one frame of 64 KiB around bytes that lie behind room for its head, as the tunnel does.
fn encode(session: &mut session::SpdySession, pair: session::PairId, chunk: &mut [u8]) {
    if let session::SendStatus::Ready(head) = session.send(pair, chunk.len() - frame::HEAD, false) {
        chunk[..frame::HEAD].copy_from_slice(&head);
    }
    websocket::mask(chunk, KEY, 0);
    black_box(chunk);
}

fn codec(criterion: &mut Criterion) {
    allocations();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::BytesDecimal((FRAMES * GO_FRAME) as u64));

    let (from, mut to) = (vec![7_u8; READ], vec![0_u8; READ]);
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            (0..FRAMES * GO_FRAME / READ).for_each(|_| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
    });
    for (name, cut) in [("spdy decode, whole frames", GO_FRAME + frame::HEAD), ("spdy decode, cut", READ)] {
        let (input, mut session) = (pieces(&spdy_frame(), cut), opened());
        group.bench_function(name, |bencher| {
            bencher.iter(|| input.iter().map(|bytes| decode(&mut session, bytes.clone())).sum::<usize>());
        });
    }
    let input = pieces(&messages(), READ);
    group.bench_function("websocket and spdy decode, cut", |bencher| {
        let (mut decoder, mut session) = (websocket::WebSocketDecoder::default(), opened());
        bencher.iter(|| input.iter().for_each(|bytes| unframe(&mut decoder, &mut session, bytes.clone())));
    });
    group.bench_function("spdy encode and mask", |bencher| {
        let mut session = session::SpdySession::default();
        let pair = session.open(80, &mut BytesMut::new());
        let mut chunk = vec![7; frame::HEAD + frame::MAX_DATA];
        bencher.iter(|| {
            for _ in 0..FRAMES * GO_FRAME / frame::MAX_DATA {
                if let Some(pair) = pair {
                    encode(&mut session, pair, &mut chunk);
                }
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("websocket");
    group.throughput(Throughput::BytesDecimal((FRAMES * GO_FRAME) as u64));
    group.bench_function("ours, read", |bencher| {
        let (mut wire, mut decoder, mut buffer) =
            (Wire::new(), websocket::WebSocketDecoder::default(), BytesMut::new());
        bencher.iter(|| read_by_hand(&mut wire, &mut decoder, &mut buffer));
    });
    group.bench_function("tungstenite, read", |bencher| {
        let mut library = library(Wire::new());
        bencher.iter(|| read_by_library(&mut library));
    });
    let payload = vec![7; frame::HEAD + frame::MAX_DATA];
    group.bench_function("ours, write", |bencher| {
        let (mut wire, mut chunk, mut head) = (Wire::new(), BytesMut::new(), BytesMut::new());
        bencher.iter(|| {
            for _ in 0..FRAMES * GO_FRAME / frame::MAX_DATA {
                chunk.clear();
                chunk.extend_from_slice(&payload);
                head.clear();
                websocket::put_binary_head(&mut head, chunk.len(), KEY);
                websocket::mask(&mut chunk, KEY, 0);
                let slices = [io::IoSlice::new(&head), io::IoSlice::new(&chunk)];
                black_box(wire.write_vectored(&slices).is_ok());
            }
        });
    });
    group.bench_function("tungstenite, write", |bencher| {
        let mut library = library(Wire::new());
        bencher.iter(|| {
            for _ in 0..FRAMES * GO_FRAME / frame::MAX_DATA {
                let sent = library.write(Message::Binary(Bytes::copy_from_slice(&payload)));
                black_box(sent.and_then(|()| library.flush()).is_ok());
            }
        });
    });
    group.finish();

    // Heads are what a frame costs, however long it is.
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let mut frame = frame::data_head(STREAM, 1, false).to_vec();
    frame.push(7);
    let (input, mut session) = (pieces(&frame, READ), opened());
    group.bench_function("spdy decode, one byte each", |bencher| {
        bencher.iter(|| input.iter().map(|bytes| decode(&mut session, bytes.clone())).sum::<usize>());
    });
    group.finish();
}

/// Gives Go's messages for ever, as reads of at most [`READ`], and takes what is written.
struct Wire {
    messages: Vec<u8>,
    at: usize,
}

impl Wire {
    fn new() -> Self {
        Self { messages: messages(), at: 0 }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(READ);
        let mut read = 0;
        while read < wanted {
            let part = (self.messages.len() - self.at).min(wanted - read);
            buffer[read..read + part].copy_from_slice(&self.messages[self.at..self.at + part]);
            read += part;
            self.at = (self.at + part) % self.messages.len();
        }
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads payload for [`FRAMES`] frames, as a session does.
fn read_by_hand(wire: &mut Wire, decoder: &mut websocket::WebSocketDecoder, buffer: &mut BytesMut) {
    let mut left = FRAMES * (GO_FRAME + frame::HEAD);
    while left > 0 {
        buffer.resize(READ, 0);
        let read = wire.read(buffer).unwrap_or(0);
        buffer.truncate(read);
        let mut bytes = buffer.split().freeze();
        while let Ok(Some(piece)) = decoder.decode(&mut bytes) {
            if let WebSocketEvent::Payload { bytes, .. } = piece {
                left = left.saturating_sub(black_box(bytes).len());
            }
        }
        drop(bytes);
        buffer.reserve(READ);
    }
}

fn library(wire: Wire) -> WebSocket<Wire> {
    let config = WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(0);
    WebSocket::from_raw_socket(wire, Role::Client, Some(config))
}

fn read_by_library(library: &mut WebSocket<Wire>) {
    let mut left = FRAMES * (GO_FRAME + frame::HEAD);
    while left > 0 {
        match library.read() {
            Ok(message) => left = left.saturating_sub(black_box(message).len()),
            Err(error) => panic!("the library does not read what a Go server writes: {error}"),
        }
    }
}

/// A transport that gives so many frames and takes all there is.
struct Memory {
    messages: Vec<u8>,
    at: usize,
    left: usize,
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while self.left > 0 && buf.remaining() > 0 {
            let end = self.messages.len().min(self.at + buf.remaining());
            buf.put_slice(&self.messages[self.at..end]);
            self.at = end % self.messages.len();
            self.left -= usize::from(self.at == 0);
        }
        if buf.filled().len() == before { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends or receives so many frames through a whole session.
async fn through_a_session(down: usize, up: usize) {
    let io = Memory { messages: messages(), at: 0, left: down };
    // On one thread the driver first runs once we wait, by when the pair is asked for: no frame comes too early.
    // Without credit, for nobody echoes its pings here.
    let session = Session::spawn(
        io,
        Bytes::new(),
        Framing::WebSocket,
        session::CreditMode::Off,
        &Arc::default(),
        &TaskTracker::new(),
    );
    let mut stream = session.open(80, &Arc::default());
    for _ in 0..up {
        let mut chunk = Chunk::new(stream.send.permit().await);
        chunk.put(&PAYLOAD);
        stream.send.send(chunk);
    }
    let mut left = down * GO_FRAME;
    while left > 0 {
        match stream.recv.recv().await {
            StreamEvent::Data(bytes) => left -= bytes.len(),
            other => return println!("the session ended early: {other:?}"),
        }
    }
}

/// Allocations and bytes a frame, once everything has grown to its size: the difference of two runs.
fn steady(what: &str, run: impl Fn(usize)) {
    const MORE: u32 = 960;
    let runs = [MORE, 2 * MORE].map(|frames| allocation_counter::measure(|| run(frames as usize)));
    let frame = |of: fn(&allocation_counter::AllocationInfo) -> u64| {
        let more = of(&runs[1]).saturating_sub(of(&runs[0]));
        f64::from(u32::try_from(more).unwrap_or(u32::MAX)) / f64::from(MORE)
    };
    let (count, bytes) = (frame(|run| run.count_total), frame(|run| run.bytes_total));
    println!("{what}: {count:.2} allocations and {bytes:.0} bytes a frame");
}

fn allocations() {
    let frames = pieces(&messages(), READ);
    steady("decoders, down", |count| {
        let (mut decoder, mut session) = (websocket::WebSocketDecoder::default(), opened());
        for _ in 0..count / FRAMES {
            for bytes in &frames {
                unframe(&mut decoder, &mut session, bytes.clone());
            }
        }
    });
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    // As a task, for the runtime gives turns to tasks in order, and to what it blocks on now and then.
    let session = |down, up| {
        runtime.block_on(async { tokio::spawn(through_a_session(down, up)).await.is_ok() });
    };
    steady("session, down, 32 KiB", |count| session(count, 0));
    steady("session, up, 64 KiB", |count| session(0, count));
}

criterion_group!(benches, codec);
criterion_main!(benches);
