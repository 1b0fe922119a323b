//! The server's side of WebSocket framing (RFC 6455), for PROTOCOL §4 and §5.
//!
//! Inbound frames must be masked; their payload is unmasked where it lies and handed on as it arrives. Outbound messages
//! have the shapes that a Go server gives them: one frame when small, two when middling, and an empty final
//! continuation behind a large one.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};

/// What RFC 6455 §1.3 has every server append to the key.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Close with status 1000, the only one that port-forwarding servers send (PROTOCOL §4).
pub const CLOSE_NORMAL: &[u8] = &[0x88, 2, 0x03, 0xe8];

/// The write buffer of a Go server: a message that fits is one frame, one over twice its size is not buffered.
const GO_BUFFER: usize = 4096;

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The answer to a `Sec-WebSocket-Key`.
pub fn accept(key: &str) -> String {
    let mut sum = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    sum.update(key.as_bytes());
    sum.update(KEY_SUFFIX.as_bytes());
    STANDARD.encode(sum.finish())
}

/// A client's frame, or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a message; `end` with its last.
    Data {
        /// A text message, not a binary one.
        text: bool,
        /// The unmasked bytes.
        payload: Bytes,
        /// The message is complete.
        end: bool,
    },
    /// To be answered with [`pong`].
    Ping(Bytes),
    /// Of no consequence.
    Pong,
    /// The client ends the connection.
    Close,
}

/// Bytes that no client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A frame whose payload is under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    opcode: u8,
    fin: bool,
    mask: [u8; 4],
    left: u64,
}

/// Reads a client's frames from bytes cut anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    open: Option<Open>,
    /// Whether the message under way is a text message; continuations do not say.
    text: bool,
}

impl Decoder {
    /// Takes bytes from the front of `input`; `None` when more are needed.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match head(input)? {
                Some(open) => open,
                None => return Ok(None),
            },
        };
        let whole = open.opcode & 8 != 0;
        let take = open.left.min(input.len() as u64) as usize;
        if (take as u64) < open.left && (whole || take == 0) {
            self.open = Some(open);
            return Ok(None);
        }
        let mut payload = input.split_to(take);
        unmask(&mut payload, open.mask);
        open.mask.rotate_left(take % 4);
        open.left -= take as u64;
        let payload = payload.freeze();
        let end = open.left == 0 && open.fin;
        let piece = match open.opcode {
            PING => Piece::Ping(payload),
            PONG => Piece::Pong,
            CLOSE => Piece::Close,
            opcode => {
                if opcode != CONTINUATION {
                    self.text = opcode == TEXT;
                }
                Piece::Data { text: self.text, payload, end }
            }
        };
        if open.left > 0 {
            self.open = Some(open);
        }
        Ok(Some(piece))
    }
}

/// Reads a frame's head off `input` if it is there whole.
fn head(input: &mut BytesMut) -> Result<Option<Open>, Malformed> {
    let &[first, second, ..] = &input[..] else { return Ok(None) };
    let (opcode, fin) = (first & 0x0f, first & FIN != 0);
    let masked = second & 0x80 != 0;
    let short = second & 0x7f;
    let control = opcode & 8 != 0;
    if !masked || first & 0x70 != 0 || (control && (!fin || short > 125)) {
        return Err(Malformed);
    }
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(Malformed);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if input.len() < 2 + extended + 4 {
        return Ok(None);
    }
    let head = input.split_to(2 + extended + 4);
    let length = head[2..2 + extended].iter().fold(0, |length, &byte| length << 8 | u64::from(byte));
    let mut mask = [0; 4];
    mask.copy_from_slice(&head[2 + extended..]);
    Ok(Some(Open { opcode, fin, mask, left: if extended == 0 { u64::from(short) } else { length } }))
}

/// Takes the mask off, sixteen bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u128::from_ne_bytes(std::array::from_fn(|i| mask[i % 4]));
    let mut chunks = payload.chunks_exact_mut(16);
    for chunk in &mut chunks {
        let mut word = [0; 16];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u128::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends `message` to `out` as the frames that a Go server makes of one write.
pub fn put_binary(out: &mut Vec<Bytes>, message: Bytes) {
    put_message(out, BINARY, message);
}

/// Appends `message` to `out` as a text message.
pub fn put_text(out: &mut Vec<Bytes>, message: Bytes) {
    put_message(out, TEXT, message);
}

fn put_message(out: &mut Vec<Bytes>, opcode: u8, mut message: Bytes) {
    let length = message.len();
    if length <= GO_BUFFER {
        out.extend([frame_head(FIN | opcode, length), message]);
    } else if length <= 2 * GO_BUFFER {
        let rest = message.split_off(GO_BUFFER);
        out.extend([frame_head(opcode, GO_BUFFER), message]);
        out.extend([frame_head(FIN | CONTINUATION, rest.len()), rest]);
    } else {
        out.extend([frame_head(opcode, length), message, Bytes::from_static(&[FIN, 0])]);
    }
}

/// The answer to a ping.
pub fn pong(payload: Bytes) -> [Bytes; 2] {
    [frame_head(FIN | PONG, payload.len()), payload]
}

/// The head of an unmasked frame.
fn frame_head(first: u8, length: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(10);
    head.put_u8(first);
    match length {
        0..=125 => head.put_u8(length as u8),
        126..=0xffff => {
            head.put_u8(126);
            head.put_u16(length as u16);
        }
        _ => {
            head.put_u8(127);
            head.put_u64(length as u64);
        }
    }
    head.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 1, 250, 3];
        let mut bytes = frame_head(first, payload.len()).to_vec();
        bytes[1] |= 0x80;
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[test]
    fn the_key_of_the_rfc_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_message_cut_anywhere_comes_out_whole() {
        let payload: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let bytes = masked(FIN | BINARY, &payload);
        for step in [1, 2, 3, 7, 64, 2000] {
            let mut decoder = Decoder::default();
            let mut input = BytesMut::new();
            let mut got = Vec::new();
            for cut in bytes.chunks(step) {
                input.extend_from_slice(cut);
                while let Some(Piece::Data { payload, .. }) = decoder.decode(&mut input).unwrap() {
                    got.extend(payload);
                }
            }
            assert_eq!(got, payload, "in steps of {step}");
        }
    }

    #[test]
    fn an_unmasked_frame_is_refused() {
        let mut input = BytesMut::from(&[FIN | BINARY, 1, 0][..]);
        assert_eq!(Decoder::default().decode(&mut input), Err(Malformed));
    }

    #[test]
    fn empty_frames_and_control_frames_come_out() {
        let mut input = BytesMut::new();
        input.extend(masked(BINARY, b"ab"));
        input.extend(masked(FIN | PING, b"?"));
        input.extend(masked(FIN | CONTINUATION, b""));
        input.extend(masked(FIN | CLOSE, &[3, 232]));
        let mut decoder = Decoder::default();
        let mut next = || decoder.decode(&mut input).unwrap();
        assert_eq!(next(), Some(Piece::Data { text: false, payload: Bytes::from_static(b"ab"), end: false }));
        assert_eq!(next(), Some(Piece::Ping(Bytes::from_static(b"?"))));
        assert_eq!(next(), Some(Piece::Data { text: false, payload: Bytes::new(), end: true }));
        assert_eq!(next(), Some(Piece::Close));
        assert_eq!(next(), None);
    }

    #[test]
    fn messages_have_the_shapes_of_a_go_server() {
        let shapes = |length| {
            let mut out = Vec::new();
            put_binary(&mut out, Bytes::from(vec![0; length]));
            out.iter().map(Bytes::len).collect::<Vec<_>>()
        };
        assert_eq!(shapes(4), [2, 4]);
        assert_eq!(shapes(4096), [4, 4096]);
        assert_eq!(shapes(7168), [4, 4096, 4, 3072]);
        assert_eq!(shapes(32768), [4, 32768, 2]);
    }
}
