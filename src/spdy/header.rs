//! Header blocks (PROTOCOL §2.1), written without a compressor.
//!
//! A header block is deflate data of one zlib stream a direction, with a preset dictionary. Deflate has *stored*
//! blocks, so a writer needs neither the dictionary nor a compressor: the zlib head with the dictionary's id once,
//! then for each block its plain form as one stored block, then the empty stored block of a sync flush, without which
//! Go's inflater fails at the second block. Reading needs no inflater either: nothing in a SYN_REPLY's block is of use,
//! so inbound blocks are skipped by length.

use bytes::{BufMut, BytesMut};

/// zlib head (deflate, 32 KiB window, FDICT) and the Adler-32 of the SPDY/3 dictionary (PROTOCOL §2.1, §2.2).
const ZLIB_HEAD: [u8; 6] = [0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2];

/// The empty stored block that ends a sync flush.
const SYNC_FLUSH: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

/// Writes the header blocks of one direction of one session, in order.
#[derive(Debug, Default)]
pub struct HeaderEncoder {
    /// Whether the zlib head went out, with the first block.
    begun: bool,
}

impl HeaderEncoder {
    /// Appends the block of `headers` (lowercase names) to `out`.
    ///
    /// A block is at most 64 KiB, one stored block; the headers of port-forwarding take some 60 bytes.
    pub fn encode(&mut self, headers: &[(&str, &str)], out: &mut BytesMut) {
        if !self.begun {
            out.put_slice(&ZLIB_HEAD);
            self.begun = true;
        }
        let plain = 4 + headers.iter().map(|(name, value)| 8 + name.len() + value.len()).sum::<usize>();
        debug_assert!(u16::try_from(plain).is_ok(), "a stored block holds at most 64 KiB");
        out.put_u8(0);
        out.put_u16_le(plain as u16);
        out.put_u16_le(!(plain as u16));
        out.put_u32(headers.len() as u32);
        for (name, value) in headers {
            out.put_u32(name.len() as u32);
            out.put_slice(name.as_bytes());
            out.put_u32(value.len() as u32);
            out.put_slice(value.as_bytes());
        }
        out.put_slice(&SYNC_FLUSH);
    }
}
