//! PEM, read as Go's `encoding/pem` reads it, since that is what kubectl accepts.
//!
//! Text between blocks is of no interest, a block that is damaged is passed over, and the label of a block is a word like
//! any other: what the bytes are is for their reader to find out.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// Go does not look at the bits of the last character that belong to no byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// One block. It has no `Debug`: it may be a key.
pub(super) struct PemBlock {
    /// `CERTIFICATE`, `EC PRIVATE KEY`.
    pub label: String,
    /// Whether headers stand before the bytes. Those of a key say how it is encrypted.
    pub headers: bool,
    pub bytes: Vec<u8>,
}

/// Every block that is whole.
pub(super) fn blocks(text: &[u8]) -> impl Iterator<Item = PemBlock> {
    let mut rest = text;
    let mut at_start = true;
    std::iter::from_fn(move || {
        loop {
            let here = if at_start { rest.strip_prefix(BEGIN) } else { None };
            rest = here.or_else(|| after_next_begin(rest))?;
            at_start = false;
            if let Some((block, after)) = block(rest) {
                // The newline before the next block is part of this one's last line.
                (rest, at_start) = (after, true);
                return Some(block);
            }
        }
    })
}

/// What follows the next `-----BEGIN ` at the beginning of a line, `text` itself beginning inside of one.
fn after_next_begin(text: &[u8]) -> Option<&[u8]> {
    let at = text.windows(BEGIN.len() + 1).position(|window| window[0] == b'\n' && window[1..] == *BEGIN)?;
    text.get(at + 1 + BEGIN.len()..)
}

/// The block whose label `text` begins with, and what follows its last line.
fn block(text: &[u8]) -> Option<(PemBlock, &[u8])> {
    let (label, mut rest) = line(text);
    let label = label.strip_suffix(DASHES)?;
    let mut headers = false;
    loop {
        let (header, after) = line(rest);
        if rest.is_empty() || !header.contains(&b':') {
            break;
        }
        (headers, rest) = (true, after);
    }
    let (base64, trailer) = if !headers && rest.starts_with(&END[1..]) {
        (&rest[..0], &rest[END.len() - 1..])
    } else {
        let end = rest.windows(END.len()).position(|window| window == END)?;
        (&rest[..end], &rest[end + END.len()..])
    };
    let (last, after) = line(trailer.strip_prefix(label)?.strip_prefix(DASHES)?);
    if !last.is_empty() {
        return None;
    }
    let base64: Vec<u8> = base64.iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
    let bytes = BASE64.decode(base64).ok()?;
    Some((PemBlock { label: String::from_utf8_lossy(label).into_owned(), headers, bytes }, after))
}

/// The first line without the white space at its end, and what follows it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[..0]),
    };
    (line.trim_ascii_end(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, bool, Vec<u8>)> {
        blocks(text.as_bytes()).map(|block| (block.label, block.headers, block.bytes)).collect()
    }

    #[test]
    fn blocks_as_go_reads_them() {
        let one = |label: &str, bytes: &[u8]| (label.to_owned(), false, bytes.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("words", vec![]),
            ("-----BEGIN A-----\nAQID\n-----END A-----\n", vec![one("A", &[1, 2, 3])]),
            // As files from Windows have it, without a last newline, with spaces at the end and between.
            ("-----BEGIN A-----\r\nAQ\r\nID\r\n-----END A-----", vec![one("A", &[1, 2, 3])]),
            ("-----BEGIN A----- \n A Q I D \n\n-----END A-----  \n", vec![one("A", &[1, 2, 3])]),
            (
                "subject=x\n-----BEGIN A-----\nAQ==\n-----END A-----\nissuer=y\n-----BEGIN B C-----\nAg==\n-----END B C-----\n",
                vec![one("A", &[1]), one("B C", &[2])],
            ),
            ("-----BEGIN A-----\n-----END A-----\n", vec![one("A", &[])]),
            // Headers, with and without the empty line after them.
            ("-----BEGIN A-----\nX: y\n\nAQ==\n-----END A-----\n", vec![("A".into(), true, vec![1])]),
            ("-----BEGIN A-----\nX: y\nAQ==\n-----END A-----\n", vec![("A".into(), true, vec![1])]),
            // Damaged ones are passed over.
            (
                "-----BEGIN A-----\nA\n-----END A-----\n-----BEGIN B-----\nAQ==\n-----END B-----\n",
                vec![one("B", &[1])],
            ),
            (
                "-----BEGIN A-----\nAQ==\n-----END B-----\n-----BEGIN B-----\nAQ==\n-----END B-----\n",
                vec![one("B", &[1])],
            ),
            ("-----BEGIN A\n-----BEGIN B-----\nAQ==\n-----END B-----\n", vec![one("B", &[1])]),
            ("-----BEGIN A-----\nAQ==\n", vec![]),
            (" -----BEGIN A-----\nAQ==\n-----END A-----\n", vec![]),
            ("-----BEGIN A-----\nAQ\n-----END A-----\n", vec![]),
            ("-----BEGIN A-----\nAR==\n-----END A-----\n", vec![one("A", &[1])]),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
