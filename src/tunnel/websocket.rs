//! WebSocket framing, the client's half (RFC 6455, PROTOCOL §4).
//!
//! The tunnel is a byte stream in binary messages, whose boundaries mean nothing; the server fragments as it likes. So
//! messages are never assembled: payload is handed on as it arrives, as slices of the buffer it was read into. And as
//! one message may hold any number of SPDY frames, a whole burst goes out under one head, masked in place. That is why
//! this is not a WebSocket library's work: those speak in whole messages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest head: two bytes, an 8-byte length, a mask.
pub const MAX_HEAD: usize = 14;

/// A control frame's longest payload (RFC 6455 §5.5).
const MAX_CONTROL: usize = 125;

/// What RFC 6455 §1.3 appends to the key before hashing it.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const OP_CONTINUATION: u8 = 0;
const OP_TEXT: u8 = 1;
const OP_BINARY: u8 = 2;
const OP_CLOSE: u8 = 8;
const OP_PING: u8 = 9;
const OP_PONG: u8 = 10;

/// Bytes that are not a WebSocket server's. Final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// An opcode that does not exist, or reserved bits without an extension.
    #[error("WebSocket frame with an unknown head {0:#04x}")]
    BadHead(u8),
    /// A server may not mask.
    #[error("masked WebSocket frame from the server")]
    Masked,
    /// A control frame that is fragmented or longer than 125 bytes.
    #[error("oversized or fragmented WebSocket control frame")]
    BadControl,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSocketEvent {
    /// Payload of data messages, cut anywhere. `starts` is set on the first piece of each message, `ends` on its last.
    Payload {
        /// The bytes; may be empty with `ends`.
        bytes: Bytes,
        /// The first piece of a message.
        starts: bool,
        /// The last piece of a message.
        ends: bool,
    },
    /// A ping, to be answered by [`pong`].
    Ping(Bytes),
    /// The server closes, with this status (1005 where it gave none, RFC 6455 §7.1.5).
    Close(u16),
}

#[derive(Debug, Default)]
enum WebSocketDecoderState {
    #[default]
    Head,
    Payload {
        left: u64,
        fin: bool,
        starts: bool,
    },
    Control {
        op: u8,
        length: usize,
    },
}

/// Reads frames from bytes cut anywhere.
#[derive(Debug, Default)]
pub struct WebSocketDecoder {
    state: WebSocketDecoderState,
    /// A head or a control payload that has not come whole: at most [`MAX_CONTROL`] bytes.
    partial: BytesMut,
}

impl WebSocketDecoder {
    /// Takes bytes from the front of `input` and returns the next piece, or `None` once `input` is empty.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<WebSocketEvent>, WebSocketError> {
        loop {
            match self.state {
                WebSocketDecoderState::Head => {
                    if !self.head(input)? {
                        return Ok(None);
                    }
                }
                WebSocketDecoderState::Payload { left, fin, starts } => {
                    if input.is_empty() && left > 0 {
                        return Ok(None);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let bytes = input.split_to(take);
                    let left = left - take as u64;
                    let ends = fin && left == 0;
                    self.state = if left == 0 {
                        WebSocketDecoderState::Head
                    } else {
                        WebSocketDecoderState::Payload { left, fin, starts: false }
                    };
                    if !bytes.is_empty() || ends {
                        return Ok(Some(WebSocketEvent::Payload { bytes, starts, ends }));
                    }
                }
                WebSocketDecoderState::Control { op, length } => {
                    if !self.collect(input, length) {
                        return Ok(None);
                    }
                    let mut payload = self.partial.split().freeze();
                    self.state = WebSocketDecoderState::Head;
                    match op {
                        OP_PING => return Ok(Some(WebSocketEvent::Ping(payload))),
                        OP_CLOSE => {
                            return Ok(Some(WebSocketEvent::Close(payload.try_get_u16().unwrap_or(1005))));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Gathers `want` bytes in `partial`; false where `input` ended before.
    fn collect(&mut self, input: &mut Bytes, want: usize) -> bool {
        let take = want.saturating_sub(self.partial.len()).min(input.len());
        self.partial.put(input.split_to(take));
        self.partial.len() >= want
    }

    /// Reads a head; false where `input` ended before it was whole.
    fn head(&mut self, input: &mut Bytes) -> Result<bool, WebSocketError> {
        if !self.collect(input, 2) {
            return Ok(false);
        }
        let (first, second) = (self.partial[0], self.partial[1]);
        let op = first & 0x0f;
        if first & 0x70 != 0
            || !matches!(op, OP_CONTINUATION | OP_TEXT | OP_BINARY | OP_CLOSE | OP_PING | OP_PONG)
        {
            return Err(WebSocketError::BadHead(first));
        }
        if second & MASKED != 0 {
            return Err(WebSocketError::Masked);
        }
        let (short, extra) = match second {
            126 => (0, 2),
            127 => (0, 8),
            length => (u64::from(length), 0),
        };
        if !self.collect(input, 2 + extra) {
            return Ok(false);
        }
        let mut head = self.partial.split();
        head.advance(2);
        let length = if extra == 0 { short } else { head.get_uint(extra) };
        let fin = first & FIN != 0;
        self.state = if op >= OP_CLOSE {
            if !fin || length > MAX_CONTROL as u64 {
                return Err(WebSocketError::BadControl);
            }
            WebSocketDecoderState::Control { op, length: length as usize }
        } else {
            WebSocketDecoderState::Payload { left: length, fin, starts: op != OP_CONTINUATION }
        };
        Ok(true)
    }
}

/// Appends the head of a binary message of `length` payload bytes, masked with `key`.
pub fn put_binary_head(out: &mut BytesMut, length: usize, key: [u8; 4]) {
    put_head(out, OP_BINARY, length, key);
}

fn put_head(out: &mut BytesMut, op: u8, length: usize, key: [u8; 4]) {
    out.put_u8(FIN | op);
    match length {
        0..=125 => out.put_u8(MASKED | length as u8),
        126..=0xffff => {
            out.put_u8(MASKED | 126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(MASKED | 127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(&key);
}

/// A whole pong for a ping's payload.
pub fn pong(payload: &[u8], key: [u8; 4]) -> BytesMut {
    control(OP_PONG, payload, key)
}

/// A whole Close of status 1000.
pub fn close(key: [u8; 4]) -> BytesMut {
    control(OP_CLOSE, &1000u16.to_be_bytes(), key)
}

fn control(op: u8, payload: &[u8], key: [u8; 4]) -> BytesMut {
    let mut out = BytesMut::with_capacity(MAX_HEAD + payload.len());
    put_head(&mut out, op, payload.len(), key);
    let start = out.len();
    out.put_slice(payload);
    mask(&mut out[start..], key, 0);
    out
}

/// Masks `bytes` in place, the first of which stands `offset` bytes into its message.
pub fn mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let mut turned = key;
    turned.rotate_left(offset % 4);
    // The key four times over. Sixteen bytes at a time are twice as fast as eight where the compiler unrolls nothing.
    let word = u128::from(u32::from_ne_bytes(turned));
    let word = word << 32 | word;
    let word = word << 64 | word;
    let mut words = bytes.chunks_exact_mut(16);
    for chunk in &mut words {
        let mut sixteen = [0; 16];
        sixteen.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u128::from_ne_bytes(sixteen) ^ word).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// What the server must answer in `Sec-WebSocket-Accept` for our `key`.
pub fn accept_for(key: &str) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(ACCEPT_GUID.as_bytes());
    STANDARD.encode(context.finish())
}

/// A fresh `Sec-WebSocket-Key`. It guards against confused caches, not against people: no need of a secret source.
pub fn new_key() -> String {
    STANDARD.encode(fastrand::u128(..).to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_of_the_specification() {
        assert_eq!(accept_for("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn masking_is_independent_of_cuts() {
        let key = [1, 2, 3, 250];
        let plain: Vec<u8> = (0..100).collect();
        let mut whole = plain.clone();
        mask(&mut whole, key, 0);
        for (i, byte) in whole.iter().enumerate() {
            assert_eq!(*byte, plain[i] ^ key[i % 4]);
        }
        for cut in 0..plain.len() {
            let mut pieces = plain.clone();
            let (a, b) = pieces.split_at_mut(cut);
            mask(a, key, 0);
            mask(b, key, cut);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }

    #[test]
    fn fragments_pings_and_closes_cut_anywhere() {
        let bytes: &[u8] = b"\x02\x03abc\x89\x02hi\x00\x00\x80\x01d\x8a\x00\x82\x00\x88\x02\x03\xe8";
        for cut in 0..=bytes.len() {
            let mut decoder = WebSocketDecoder::default();
            let (mut data, mut ends, mut others) = (Vec::new(), 0, Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                let mut input = Bytes::copy_from_slice(part);
                while let Some(piece) = decoder.decode(&mut input).unwrap() {
                    match piece {
                        WebSocketEvent::Payload { bytes, ends: end, .. } => {
                            data.extend_from_slice(&bytes);
                            ends += usize::from(end);
                        }
                        other => others.push(other),
                    }
                }
            }
            assert_eq!((data.as_slice(), ends), (b"abcd".as_slice(), 2), "cut at {cut}");
            assert_eq!(
                others,
                [WebSocketEvent::Ping(Bytes::from_static(b"hi")), WebSocketEvent::Close(1000)]
            );
        }
    }

    #[test]
    fn refusals() {
        for (bytes, error) in [
            (&b"\x82\x83\0\0\0\0abc"[..], WebSocketError::Masked),
            (b"\xc2\x00", WebSocketError::BadHead(0xc2)),
            (b"\x83\x00", WebSocketError::BadHead(0x83)),
            (b"\x09\x00", WebSocketError::BadControl),
            (b"\x89\x7e\x00\x80", WebSocketError::BadControl),
        ] {
            assert_eq!(WebSocketDecoder::default().decode(&mut Bytes::from_static(bytes)), Err(error));
        }
    }
}
