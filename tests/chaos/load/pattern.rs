//! Bytes that tell their place: each is its offset modulo 251, a prime, so that no size of a chunk hides a shift; counted
//! from a salt on, so that no transfer looks like another.

use std::sync::LazyLock;

/// Where the pattern begins again.
const PERIOD: u64 = 251;

/// How much of it is taken at once.
pub(super) const CHUNK: usize = 64 * 1024;

static PERIODS: LazyLock<Vec<u8>> = LazyLock::new(|| (0..251).cycle().take(251 + CHUNK).collect());

/// `length` bytes from an offset on, [`CHUNK`] at most.
pub(super) fn pattern(salt: u64, offset: u64, length: usize) -> &'static [u8] {
    let start = (salt % PERIOD + offset % PERIOD) % PERIOD;
    &PERIODS[start as usize..][..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_tells_its_place() {
        assert_eq!(pattern(0, 0, 3), [0, 1, 2]);
        assert_eq!(pattern(250, 0, 3), [250, 0, 1]);
        assert_eq!(pattern(u64::MAX, 502, 1), [(u64::MAX % 251) as u8]);
        assert_eq!(pattern(250, 250, CHUNK).len(), CHUNK);
    }
}
