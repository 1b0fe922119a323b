//! Frames out of the bytes that have come: of WebSocket, and of SPDY in it or without it.

use bytes::{Bytes, BytesMut};
use kubectl_fwd::spdy::frame::{self, Frame, FrameDecoder};

/// Takes a whole WebSocket frame: its first byte and its payload.
pub(crate) fn take_message(raw: &mut BytesMut, any: bool) -> Option<(u8, Bytes)> {
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
pub(crate) fn take_frame(spdy: &mut BytesMut) -> Option<Frame> {
    if spdy.len() < frame::HEAD {
        return None;
    }
    let length = spdy[5..8].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if spdy.len() < frame::HEAD + length {
        return None;
    }
    let mut bytes = spdy.split_to(frame::HEAD + length).freeze();
    Some(FrameDecoder::default().decode(&mut bytes).unwrap().unwrap())
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
