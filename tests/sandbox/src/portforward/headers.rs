//! Inbound header blocks (PROTOCOL §2.1): one zlib stream a session, with the preset dictionary of SPDY/3.

use bytes::Buf;
use flate2::{Decompress, FlushDecompress, Status};

/// PROTOCOL §2.2.
const DICTIONARY: &[u8] = include_bytes!("spdy3-dictionary.bin");

/// The longest block read, inflated. Ours take some 60 bytes; Go reads up to 1000 headers of 1 MiB.
const MAX_BLOCK: usize = 64 * 1024;

/// A block that the session does not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Not deflate data, or not a header block inside.
    Malformed,
    /// A name with an uppercase letter.
    Uppercase,
}

/// What port-forwarding wants to know of a stream's headers (PROTOCOL §3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) kind: String,
    pub(super) port: String,
    pub(super) request: String,
}

/// Reads the header blocks of one session, in order.
pub(super) struct HeaderDecoder {
    inflate: Decompress,
    begun: bool,
}

impl Default for HeaderDecoder {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), begun: false }
    }
}

impl HeaderDecoder {
    /// Reads one block.
    pub(super) fn decode(&mut self, block: &[u8]) -> Result<Headers, HeaderError> {
        let plain = self.inflate(block)?;
        parse(&plain).ok_or(HeaderError::Malformed)?
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, HeaderError> {
        let mut plain = Vec::with_capacity(1024);
        while !block.is_empty() {
            let before = self.inflate.total_in();
            let result = self.inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            block.advance((self.inflate.total_in() - before) as usize);
            match result {
                Ok(Status::StreamEnd) => return Err(HeaderError::Malformed),
                Ok(_) if plain.len() == plain.capacity() => {
                    if plain.len() >= MAX_BLOCK {
                        return Err(HeaderError::Malformed);
                    }
                    plain.reserve(plain.len());
                }
                Ok(Status::BufError) => break,
                Ok(Status::Ok) => {}
                Err(_) if self.begun => return Err(HeaderError::Malformed),
                // The first block's zlib head asks for the dictionary.
                Err(_) => {
                    self.begun = true;
                    self.inflate.set_dictionary(DICTIONARY).map_err(|_| HeaderError::Malformed)?;
                }
            }
        }
        Ok(plain)
    }
}

/// `None` for a block cut short; the inner error for one that breaks the rules.
fn parse(mut plain: &[u8]) -> Option<Result<Headers, HeaderError>> {
    let mut headers = Headers::default();
    let count = number(&mut plain)?;
    for _ in 0..count {
        let name = string(&mut plain)?;
        let value = string(&mut plain)?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Some(Err(HeaderError::Uppercase));
        }
        match name {
            "streamtype" => value.clone_into(&mut headers.kind),
            "port" => value.clone_into(&mut headers.port),
            "requestid" => value.clone_into(&mut headers.request),
            _ => {}
        }
    }
    Some(Ok(headers))
}

fn number(plain: &mut &[u8]) -> Option<u32> {
    let (head, rest) = plain.split_first_chunk()?;
    *plain = rest;
    Some(u32::from_be_bytes(*head))
}

fn string<'p>(plain: &mut &'p [u8]) -> Option<&'p str> {
    let length = number(plain)? as usize;
    let (head, rest) = plain.split_at_checked(length)?;
    *plain = rest;
    std::str::from_utf8(head).ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kubectl_fwd::spdy::header::HeaderEncoder;

    use super::*;

    fn headers(kind: &str, port: &str, request: &str) -> Headers {
        Headers { kind: kind.into(), port: port.into(), request: request.into() }
    }

    #[test]
    fn the_test_vector_of_go_is_read() {
        let hex = "78f9e3c6a7c202253a48f95b044eea16061606409ab308125f99a074cc68004e892545a989b9d0c2863515141500000000ffff";
        let block: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(HeaderDecoder::default().decode(&block), Ok(headers("error", "8080", "0")));
    }

    #[test]
    fn stored_blocks_are_read_one_after_another() {
        let (mut encoder, mut decoder) = (HeaderEncoder::default(), HeaderDecoder::default());
        for request in ["0", "1", "2"] {
            let mut block = BytesMut::new();
            encoder.encode(&[("streamtype", "data"), ("port", "80"), ("requestid", request)], &mut block);
            assert_eq!(decoder.decode(&block), Ok(headers("data", "80", request)));
        }
    }

    #[test]
    fn an_uppercase_name_and_rubbish_are_errors() {
        let mut block = BytesMut::new();
        HeaderEncoder::default().encode(&[("Port", "80")], &mut block);
        assert_eq!(HeaderDecoder::default().decode(&block), Err(HeaderError::Uppercase));
        assert_eq!(HeaderDecoder::default().decode(b"rubbish"), Err(HeaderError::Malformed));
    }
}
