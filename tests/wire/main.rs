//! The protocol core against bytes recorded from a real cluster (tests/data/wire): both directions, fed whole, byte by
//! byte and cut at random. What a cut changes nothing about must come out the same.

#![allow(clippy::unwrap_used, reason = "a test's helper fails as its test does")]

mod transcripts;

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress};
use kubectl_fwd::{
    spdy::{
        frame::{self, Frame, FrameDecoder, FrameError},
        header::HeaderEncoder,
        session::{PairEnd, SpdyEvent, SpdySession},
    },
    tunnel::websocket,
};
use transcripts::{sides, unhex, wire};

/// Cuts `bytes` whole, one by one, and at random.
fn cuts(bytes: &[u8]) -> Vec<Vec<Bytes>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut all = vec![vec![Bytes::copy_from_slice(bytes)]];
    // Byte by byte costs a step a byte; the megabyte of client-rst is cut at random only.
    if bytes.len() < 64 * 1024 {
        all.push(bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect());
    }
    for _ in 0..5 {
        let (mut rest, mut parts) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (part, after) = rest.split_at(random.usize(1..=rest.len().min(5000)));
            parts.push(Bytes::copy_from_slice(part));
            rest = after;
        }
        all.push(parts);
    }
    all
}

/// Unwraps a server's WebSocket messages.
fn unwrap_websocket(parts: Vec<Bytes>) -> Vec<Bytes> {
    let mut decoder = websocket::WebSocketDecoder::default();
    let mut out = Vec::new();
    for mut part in parts {
        while let Some(piece) = decoder.decode(&mut part).unwrap() {
            match piece {
                websocket::WebSocketEvent::Payload { bytes, .. } => out.push(bytes),
                websocket::WebSocketEvent::Close(status) => assert_eq!(status, 1000),
                websocket::WebSocketEvent::Ping(_) => panic!("neither Go side sends pings"),
            }
        }
    }
    out
}

/// Unwraps a client's WebSocket messages, which our decoder is not for: it reads servers.
fn unmask(bytes: &[u8]) -> Vec<u8> {
    let (mut input, mut out) = (bytes, Vec::new());
    while !input.is_empty() {
        let (first, second) = (input.get_u8(), input.get_u8());
        assert_eq!(second & 0x80, 0x80, "clients mask");
        let length = match second & 0x7f {
            126 => usize::from(input.get_u16()),
            127 => usize::try_from(input.get_u64()).unwrap(),
            short => usize::from(short),
        };
        let mut key = [0; 4];
        input.copy_to_slice(&mut key);
        let mut payload = input[..length].to_vec();
        input.advance(length);
        websocket::mask(&mut payload, key, 0);
        if first & 0x0f == 2 {
            out.extend_from_slice(&payload);
        }
    }
    out
}

/// Decodes, and joins the pieces of each DATA frame.
fn frames(parts: Vec<Bytes>) -> Vec<Frame> {
    let mut decoder = FrameDecoder::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut joined: BTreeMap<u32, BytesMut> = BTreeMap::new();
    for mut part in parts {
        while let Some(frame) = decoder.decode(&mut part).unwrap() {
            match frame {
                Frame::Data { stream, payload, fin } => {
                    joined.entry(stream).or_default().extend_from_slice(&payload);
                    if fin {
                        let payload = joined.remove(&stream).unwrap().freeze();
                        frames.push(Frame::Data { stream, payload, fin });
                    }
                }
                other => frames.push(other),
            }
        }
    }
    frames.extend(joined.into_iter().map(|(stream, payload)| Frame::Data {
        stream,
        payload: payload.freeze(),
        fin: false,
    }));
    frames
}

#[test]
fn what_servers_sent_decodes_the_same_however_it_is_cut() {
    for side in sides("s>c") {
        let mut expected: Option<Vec<Frame>> = None;
        for parts in cuts(&side.bytes) {
            let parts = if side.tunnelled { unwrap_websocket(parts) } else { parts };
            let frames = frames(parts);
            assert!(!frames.is_empty(), "{}", side.name);
            assert!(!frames.iter().any(|frame| matches!(frame, Frame::Ignored { .. })), "{}", side.name);
            assert_eq!(&frames, expected.get_or_insert_with(|| frames.clone()), "{}", side.name);
        }
    }
}

/// A header block's pairs, through one inflater a direction.
fn inflate(z: &mut Decompress, block: &[u8]) -> Vec<(String, String)> {
    let mut plain = Vec::with_capacity(4096);
    let mut rest = block;
    loop {
        let before = z.total_in();
        match z.decompress_vec(rest, &mut plain, FlushDecompress::Sync) {
            Ok(_) => {}
            Err(error) if error.needs_dictionary().is_some() => {
                let dictionary = std::fs::read(wire().join("spdy3-dictionary.bin")).unwrap();
                assert_eq!(z.set_dictionary(&dictionary).unwrap(), 0xe3c6_a7c2);
            }
            Err(error) => panic!("{error}"),
        }
        rest = &rest[usize::try_from(z.total_in() - before).unwrap()..];
        if rest.is_empty() {
            break;
        }
    }
    let mut plain = Bytes::from(plain);
    let word = |plain: &mut Bytes| {
        let length = plain.get_u32() as usize;
        String::from_utf8(plain.split_to(length).to_vec()).unwrap()
    };
    let count = plain.get_u32();
    let pairs = (0..count).map(|_| (word(&mut plain), word(&mut plain))).collect();
    assert!(plain.is_empty(), "the block was read to its last byte");
    pairs
}

/// What clients sent, read by us and written by us again: DATA, RST, PING and GOAWAY to the letter, SYN_STREAM with the
/// same headers in another compression.
#[test]
fn what_clients_sent_comes_out_as_it_went_in() {
    for side in sides("c>s") {
        let bytes = if side.tunnelled { unmask(&side.bytes) } else { side.bytes.clone() };
        let (mut theirs, mut ours) = (Decompress::new(true), Decompress::new(true));
        let mut encoder = HeaderEncoder::default();
        for parts in cuts(&bytes) {
            let _ = frames(parts);
        }
        let mut rest = Bytes::from(bytes);
        let mut decoder = FrameDecoder::default();
        while !rest.is_empty() {
            let before = rest.clone();
            let Some(frame) = decoder.decode(&mut rest).unwrap() else { break };
            let original = &before[..before.len() - rest.len()];
            let mut out = BytesMut::new();
            match frame {
                Frame::Data { stream, payload, fin } => {
                    out.extend_from_slice(&frame::data_head(stream, payload.len(), fin));
                    out.extend_from_slice(&payload);
                }
                Frame::Reset { stream, status } => frame::put_reset(&mut out, stream, status),
                Frame::Ping { id } => frame::put_ping(&mut out, id),
                Frame::GoAway { last_stream, status } => frame::put_goaway(&mut out, last_stream, status),
                Frame::SynStream { stream, fin, block, .. } => {
                    let headers = inflate(&mut theirs, &block);
                    let borrowed: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                    frame::put_syn_stream(&mut out, &mut encoder, stream, fin, &borrowed);
                    let mut again = FrameDecoder::default();
                    let read = again.decode(&mut out.freeze()).unwrap().unwrap();
                    let Frame::SynStream { stream: s, fin: f, block, .. } = read else { panic!("{read:?}") };
                    assert_eq!((s, f), (stream, fin));
                    assert_eq!(inflate(&mut ours, &block), headers, "{}", side.name);
                    continue;
                }
                other => panic!("{}: clients do not send {other:?}", side.name),
            }
            assert_eq!(out, original, "{}", side.name);
        }
    }
}

/// Our client core reads what servers said to a client that opened its pairs as ours does not: with other ids. So the
/// ids are mapped, pair for pair; everything else is the recording.
fn replay(name: &str, pairs: usize) -> Vec<SpdyEvent> {
    let side = sides("s>c").into_iter().find(|side| side.name == name).unwrap();
    let parts = vec![Bytes::from(side.bytes)];
    let parts = if side.tunnelled { unwrap_websocket(parts) } else { parts };
    let mut session = SpdySession::default();
    let mut out = BytesMut::new();
    let mut decoder = FrameDecoder::default();
    for _ in 0..pairs {
        session.open(8080, &mut out).unwrap();
    }
    let mut opened = out.freeze();
    let mut ids = Vec::new();
    while let Some(frame) = decoder.decode(&mut opened).unwrap() {
        let Frame::SynStream { stream, .. } = frame else { panic!("{frame:?}") };
        ids.push(stream);
    }
    // The recording's client used 1, 3, 5, 7 ...
    let ours = |theirs: u32| ids[(theirs as usize - 1) / 2];
    let mut events = Vec::new();
    for frame in frames_in_order(parts) {
        let mut bytes = BytesMut::new();
        match frame {
            Frame::Data { stream, payload, fin } => {
                bytes.extend_from_slice(&frame::data_head(ours(stream), payload.len(), fin));
                bytes.extend_from_slice(&payload);
            }
            Frame::SynReply { stream, .. } => {
                frame::put_syn_reply(&mut bytes, &mut HeaderEncoder::default(), ours(stream));
            }
            Frame::Reset { stream, status } => frame::put_reset(&mut bytes, ours(stream), status),
            Frame::Ping { id } => frame::put_ping(&mut bytes, id),
            Frame::GoAway { last_stream, status } => frame::put_goaway(&mut bytes, last_stream, status),
            other => panic!("{other:?}"),
        }
        let mut bytes = bytes.freeze();
        while let Some(event) = session.receive(&mut bytes).unwrap() {
            events.push(event);
        }
    }
    events
}

fn frames_in_order(parts: Vec<Bytes>) -> Vec<Frame> {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for mut part in parts {
        while let Some(frame) = decoder.decode(&mut part).unwrap() {
            frames.push(frame);
        }
    }
    frames
}

fn ends(events: &[SpdyEvent]) -> Vec<PairEnd> {
    let end = |event: &SpdyEvent| if let SpdyEvent::Ended(_, end) = event { Some(end.clone()) } else { None };
    events.iter().filter_map(end).collect()
}

#[test]
fn each_recorded_end_is_understood() {
    for way in ["spdy", "tunnel"] {
        for clean in ["http-get", "client-half-closes", "hello-then-server-half-close", "app-closes-first"] {
            let events = replay(&format!("{clean}.{way}.jsonl"), 1);
            assert_eq!(ends(&events), [PairEnd::Clean], "{clean}.{way}");
            assert!(events.iter().any(|event| matches!(event, SpdyEvent::Data(..))), "{clean}.{way}");
        }
        for (name, pairs, text) in [
            ("refused-then-good", 2, "failed to connect to localhost:7 "),
            ("app-resets", 1, "connection reset by peer"),
            ("pod-deleted", 8, "is closed"),
        ] {
            let ends = ends(&replay(&format!("{name}.{way}.jsonl"), pairs));
            let PairEnd::Failed(said) = &ends[0] else { panic!("{name}: {ends:?}") };
            assert!(said.contains(text), "{name}.{way}: {said}");
        }
        let good = replay(&format!("refused-then-good.{way}.jsonl"), 2);
        assert!(
            good.iter().any(
                |event| matches!(event, SpdyEvent::Data(_, bytes) if bytes.starts_with(b"HTTP/1.1 200"))
            )
        );
        let pongs = replay(&format!("pings.{way}.jsonl"), 0);
        assert!(pongs.iter().filter(|event| matches!(event, SpdyEvent::Pong)).count() >= 5, "{pongs:?}");
        assert_eq!(replay(&format!("goaway.{way}.jsonl"), 0), [SpdyEvent::GoAway]);
    }
}

/// A data FIN is no verdict: of a refused connection the reader hears the text before the end.
#[test]
fn a_refused_connection_is_no_clean_end() {
    let events = replay("refused-then-good.spdy.jsonl", 2);
    let data_end = events.iter().position(|event| matches!(event, SpdyEvent::DataEnd(_))).unwrap();
    let ended =
        events.iter().position(|event| matches!(event, SpdyEvent::Ended(_, PairEnd::Failed(_)))).unwrap();
    assert!(data_end < ended);
}

#[test]
fn the_specifications_vectors() {
    let block = unhex(concat!(
        "78f9e3c6a7c202253a48f95b044eea16061606409ab308125f99a074cc68004e892545a989b9d0c28635",
        "15141500000000ffff"
    ));
    let mut z = Decompress::new(true);
    let headers = inflate(&mut z, &block);
    let expected = [("port", "8080"), ("requestid", "0"), ("streamtype", "error")];
    let mut sorted: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    let mut ping = BytesMut::new();
    frame::put_ping(&mut ping, 1);
    assert_eq!(ping[..], unhex("800300060000000400000001"));
}

#[test]
fn hostile_frames_are_errors_and_cost_nothing() {
    for (hex, expected) in [
        ("800300050000000000", FrameError::UnknownType(5)),
        ("8003000b0000000400000001", FrameError::UnknownType(11)),
        ("80030006000000050000000100", FrameError::BadLength { kind: 6, length: 5 }),
        ("80030003000000040000000100", FrameError::BadLength { kind: 3, length: 4 }),
        ("8003000200ffffff", FrameError::Oversized { kind: 2, length: 0x00ff_ffff }),
        ("8003000800004001", FrameError::Oversized { kind: 8, length: 0x4001 }),
        ("0000000000000001aa", FrameError::StreamZero(0)),
        ("80030003000000080000000000000005", FrameError::StreamZero(3)),
    ] {
        let mut decoder = FrameDecoder::default();
        let mut bytes = Bytes::from(unhex(hex));
        assert_eq!(decoder.decode(&mut bytes), Err(expected), "{hex}");
    }
}

/// SETTINGS, WINDOW_UPDATE and HEADERS pass without a trace (PROTOCOL §2.5), and so do frames of streams never opened.
#[test]
fn what_is_legal_and_of_no_use_is_skipped() {
    let mut session = SpdySession::default();
    for hex in [
        "80030004000000040000000000",
        "80030009000000080000000100000001",
        "8003000800000006000000010000",
        "0000006300000003616263",
        "80030003000000080000006300000005",
        "80030002000000040000006300",
    ] {
        let mut bytes = Bytes::from(unhex(hex));
        assert_eq!(session.receive(&mut bytes), Ok(None), "{hex}");
    }
}

/// Random bytes: an error or nothing, never a panic, and never more kept than a control frame.
#[test]
fn noise_never_panics() {
    let mut random = fastrand::Rng::with_seed(42);
    for _ in 0..20_000 {
        let mut session = SpdySession::default();
        let mut out = BytesMut::new();
        session.open(80, &mut out);
        let mut noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        if let Some(first) = noise.first_mut().filter(|_| random.bool()) {
            *first = 0x80;
        }
        let mut bytes = Bytes::from(noise);
        while let Ok(Some(_)) = session.receive(&mut bytes) {}
    }
}

/// An endless error text is cut, and a peer's ping is echoed.
#[test]
fn memory_is_bounded_and_peers_pings_are_answered() {
    let mut session = SpdySession::default();
    let mut out = BytesMut::new();
    session.open(80, &mut out).unwrap();
    let mut text = BytesMut::new();
    text.extend_from_slice(&frame::data_head(5, 1024 * 1024, true));
    text.extend_from_slice(&vec![b'x'; 1024 * 1024]);
    let mut text = text.freeze();
    let Ok(Some(SpdyEvent::Ended(_, PairEnd::Failed(said)))) = session.receive(&mut text) else {
        panic!("no end")
    };
    assert!(said.len() <= 4096);
    let mut ping = BytesMut::new();
    frame::put_ping(&mut ping, 2);
    assert_eq!(session.receive(&mut ping.clone().freeze()), Ok(None));
    let mut echo = BytesMut::new();
    session.echo(&mut echo);
    assert_eq!(echo, ping);
}

/// Ids ascend, error streams are on queue 0 and never share it with data (PROTOCOL §2.7, §3.3).
#[test]
fn ids_keep_pairs_off_each_others_queues() {
    let mut session = SpdySession::default();
    let mut last = 0;
    let mut queues = [0; 5];
    for _ in 0..1000 {
        let mut out = BytesMut::new();
        session.open(80, &mut out).unwrap();
        let frames = frames_in_order(vec![out.freeze()]);
        let [
            Frame::SynStream { stream: error, fin: true, .. },
            Frame::SynStream { stream: data, fin: false, .. },
        ] = frames[..]
        else {
            panic!("{frames:?}")
        };
        assert!(error >= last + 2 && data >= error + 2 && error % 2 == 1 && data % 2 == 1);
        assert_eq!(error % 5, 0);
        queues[data as usize % 5] += 1;
        last = data;
    }
    assert_eq!(queues, [0, 250, 250, 250, 250]);
}
