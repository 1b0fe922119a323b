//! SPDY/3.1 frames (PROTOCOL §2): one decoder for bytes cut anywhere, and one encoder per kind of frame.
//!
//! ```text
//! control: 1|version:15=3 | type:16 | flags:8 | length:24 | payload
//! data:    0|stream:31              | flags:8 | length:24 | payload
//! ```
//!
//! The payload of a DATA frame is handed on in the pieces it arrives in, as slices of the buffer it was read into:
//! a 16 MiB frame costs no buffer. Control frames are collected, up to [`MAX_CONTROL`].

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::header::HeaderEncoder;

/// Bytes of a frame's head.
pub const HEAD: usize = 8;

/// The highest stream id: 31 bits (PROTOCOL §2.3).
pub const MAX_STREAM_ID: u32 = 0x7fff_ffff;

/// The largest control frame that is read. Go writes SYN_REPLY blocks of some 20 bytes; 16 KiB leaves room for
/// any honest header block and none for a peer that would have us collect 16 MiB.
pub const MAX_CONTROL: usize = 16 * 1024;

/// The longest DATA payload that is written. 64 KiB was fastest on the runtime's path (PROTOCOL §2.7).
pub const MAX_DATA: usize = 64 * 1024;

/// RST_STREAM status CANCEL, the only one Go peers write but for id violations (PROTOCOL §2.4).
pub const STATUS_CANCEL: u32 = 5;

const FLAG_FIN: u8 = 1;
const CONTROL_BIT: u32 = 0x8000_0000;
const VERSION_3: u32 = 3 << 16;
const LENGTH_MASK: u32 = 0x00ff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Bytes that are not SPDY as a port-forwarding peer speaks it. The session cannot go on: frames have no marker to
/// find the next one by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A control frame type that SPDY/3.1 does not have.
    #[error("unknown SPDY control frame type {0}")]
    UnknownType(u16),
    /// A payload too short, or of the wrong length, for its type.
    #[error("SPDY control frame of type {kind} with a length of {length}")]
    BadLength {
        /// The frame's type.
        kind: u16,
        /// Its length field.
        length: usize,
    },
    /// A control frame over [`MAX_CONTROL`].
    #[error("SPDY control frame of type {kind} with {length} bytes, over the limit of {MAX_CONTROL}")]
    Oversized {
        /// The frame's type.
        kind: u16,
        /// Its length field.
        length: usize,
    },
    /// A frame of a stream with id 0.
    #[error("SPDY frame of type {0} for stream 0")]
    StreamZero(u16),
}

/// What the bytes said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The peer opens a stream. Only servers of port-forwarding get this.
    SynStream {
        /// The new stream.
        stream: u32,
        /// The opener will not write on it.
        fin: bool,
        /// Priority, 0 (highest) to 7.
        priority: u8,
        /// The compressed header block.
        block: Bytes,
    },
    /// The peer took a stream. Says nothing about the dial behind it (PROTOCOL §0.2).
    SynReply {
        /// The stream taken.
        stream: u32,
        /// The peer will not write on it.
        fin: bool,
    },
    /// A piece of a DATA frame.
    Data {
        /// Whose bytes.
        stream: u32,
        /// The bytes; empty only with `fin` or for an empty frame.
        payload: Bytes,
        /// This is the last piece, and the peer writes no more on the stream.
        fin: bool,
    },
    /// The stream ended at once, both ways.
    Reset {
        /// Which stream.
        stream: u32,
        /// Why (PROTOCOL §2).
        status: u32,
    },
    /// A ping, or the echo of one of ours.
    Ping {
        /// Its id.
        id: u32,
    },
    /// The peer takes no more streams and is about to close.
    GoAway {
        /// The last stream it took.
        last_stream: u32,
        /// Why (PROTOCOL §2).
        status: u32,
    },
    /// A frame that is legal and of no use here: SETTINGS, WINDOW_UPDATE, HEADERS.
    Ignored {
        /// Its type.
        kind: u16,
    },
}

#[derive(Debug, Default)]
enum FrameDecoderState {
    /// Collecting the eight bytes of a head.
    #[default]
    Head,
    /// Inside a DATA payload.
    Data { stream: u32, fin: bool, left: usize },
    /// Collecting a control payload.
    Control { kind: u16, flags: u8, length: usize },
}

/// Reads frames from bytes cut anywhere.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    state: FrameDecoderState,
    /// A frame to be returned once more before any bytes are read.
    again: Option<Frame>,
    /// A head or control payload that has not come whole yet: at most [`MAX_CONTROL`] bytes.
    partial: BytesMut,
}

impl FrameDecoder {
    /// Takes bytes from the front of `input` and returns the next frame, or `None` once `input` is empty and more
    /// is needed. An error is final.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Frame>, FrameError> {
        if let Some(frame) = self.again.take() {
            return Ok(Some(frame));
        }
        loop {
            match self.state {
                FrameDecoderState::Head => {
                    let Some(head) = self.collect(input, HEAD) else { return Ok(None) };
                    if let Some(frame) = self.begin(head)? {
                        return Ok(Some(frame));
                    }
                }
                FrameDecoderState::Data { stream, fin, left } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let payload = input.split_to(left.min(input.len()));
                    let left = left - payload.len();
                    self.state = if left == 0 {
                        FrameDecoderState::Head
                    } else {
                        FrameDecoderState::Data { stream, fin, left }
                    };
                    return Ok(Some(Frame::Data { stream, payload, fin: fin && left == 0 }));
                }
                FrameDecoderState::Control { kind, flags, length } => {
                    let Some(payload) = self.collect(input, length) else { return Ok(None) };
                    self.state = FrameDecoderState::Head;
                    return control(kind, flags, payload).map(Some);
                }
            }
        }
    }

    /// Returns `frame` from the next [`decode`](Self::decode).
    pub(super) fn push_back(&mut self, frame: Frame) {
        self.again = Some(frame);
    }

    /// The next `want` bytes in one piece: a slice of `input` where they lie together, as they nearly always do.
    fn collect(&mut self, input: &mut Bytes, want: usize) -> Option<Bytes> {
        if self.partial.is_empty() && input.len() >= want {
            return Some(input.split_to(want));
        }
        let take = (want - self.partial.len()).min(input.len());
        self.partial.put(input.split_to(take));
        (self.partial.len() == want).then(|| self.partial.split().freeze())
    }

    /// Reads a head. A DATA frame without payload is complete with it.
    fn begin(&mut self, mut head: Bytes) -> Result<Option<Frame>, FrameError> {
        let word = head.get_u32();
        let rest = head.get_u32();
        let flags = (rest >> 24) as u8;
        let length = (rest & LENGTH_MASK) as usize;
        if word & CONTROL_BIT == 0 {
            let fin = flags & FLAG_FIN != 0;
            if word == 0 {
                return Err(FrameError::StreamZero(0));
            }
            if length == 0 {
                return Ok(Some(Frame::Data { stream: word, payload: Bytes::new(), fin }));
            }
            self.state = FrameDecoderState::Data { stream: word, fin, left: length };
            return Ok(None);
        }
        // The version is not checked: Go peers do not either (PROTOCOL §2.5).
        let kind = word as u16;
        let fits = match kind {
            SYN_STREAM => length >= 10,
            SYN_REPLY | HEADERS | SETTINGS => length >= 4,
            RST_STREAM | GOAWAY | WINDOW_UPDATE => length == 8,
            PING => length == 4,
            _ => return Err(FrameError::UnknownType(kind)),
        };
        if !fits {
            return Err(FrameError::BadLength { kind, length });
        }
        if length > MAX_CONTROL {
            return Err(FrameError::Oversized { kind, length });
        }
        self.state = FrameDecoderState::Control { kind, flags, length };
        Ok(None)
    }
}

/// Reads a whole control payload, whose length [`FrameDecoder::begin`] checked against its type.
fn control(kind: u16, flags: u8, mut payload: Bytes) -> Result<Frame, FrameError> {
    let fin = flags & FLAG_FIN != 0;
    let stream = |payload: &mut Bytes| match payload.get_u32() & MAX_STREAM_ID {
        0 => Err(FrameError::StreamZero(kind)),
        id => Ok(id),
    };
    Ok(match kind {
        SYN_STREAM => {
            let stream = stream(&mut payload)?;
            payload.advance(4);
            let priority = payload.get_u8() >> 5;
            payload.advance(1);
            Frame::SynStream { stream, fin, priority, block: payload }
        }
        SYN_REPLY => Frame::SynReply { stream: stream(&mut payload)?, fin },
        RST_STREAM => Frame::Reset { stream: stream(&mut payload)?, status: payload.get_u32() },
        PING => Frame::Ping { id: payload.get_u32() },
        GOAWAY => Frame::GoAway { last_stream: payload.get_u32() & MAX_STREAM_ID, status: payload.get_u32() },
        _ => Frame::Ignored { kind },
    })
}

fn put_control_head(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.put_u32(CONTROL_BIT | VERSION_3 | u32::from(kind));
    out.put_u32(u32::from(flags) << 24 | length as u32);
}

/// Appends a SYN_STREAM with `headers`; with `fin` we never write on the stream.
pub fn put_syn_stream(
    out: &mut BytesMut,
    encoder: &mut HeaderEncoder,
    stream: u32,
    fin: bool,
    headers: &[(&str, &str)],
) {
    put_syn(out, SYN_STREAM, stream, fin, 6, |out| encoder.encode(headers, out));
}

/// Appends a SYN_REPLY without headers, as Go servers answer.
pub fn put_syn_reply(out: &mut BytesMut, encoder: &mut HeaderEncoder, stream: u32) {
    put_syn(out, SYN_REPLY, stream, false, 0, |out| encoder.encode(&[], out));
}

/// A frame with a header block; its length is known once the block is written. `zeros` stand between id and block:
/// the associated stream, priority and slot of a SYN_STREAM. Priority stays 0 on purpose: pings are of priority 0 and
/// prove the delivery of what went before them only at equal priority (PROTOCOL §2.8).
fn put_syn(
    out: &mut BytesMut,
    kind: u16,
    stream: u32,
    fin: bool,
    zeros: usize,
    block: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    put_control_head(out, kind, u8::from(fin), 0);
    out.put_u32(stream);
    out.put_bytes(0, zeros);
    block(out);
    let length = (out.len() - start - HEAD) as u32;
    out[start + 5..start + HEAD].copy_from_slice(&length.to_be_bytes()[1..]);
}

/// The head of a DATA frame of `length` payload bytes (at most 2^24 - 1).
pub fn data_head(stream: u32, length: usize, fin: bool) -> [u8; HEAD] {
    debug_assert!(length <= LENGTH_MASK as usize, "a DATA frame holds less than 16 MiB");
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&stream.to_be_bytes());
    head[4..].copy_from_slice(&(u32::from(fin) << 24 | length as u32).to_be_bytes());
    head
}

/// Appends a RST_STREAM.
pub fn put_reset(out: &mut BytesMut, stream: u32, status: u32) {
    put_control_head(out, RST_STREAM, 0, 8);
    out.put_u32(stream);
    out.put_u32(status);
}

/// Appends a PING.
pub fn put_ping(out: &mut BytesMut, id: u32) {
    put_control_head(out, PING, 0, 4);
    out.put_u32(id);
}

/// Appends a GOAWAY.
pub fn put_goaway(out: &mut BytesMut, last_stream: u32, status: u32) {
    put_control_head(out, GOAWAY, 0, 8);
    out.put_u32(last_stream);
    out.put_u32(status);
}
