//! Where frames end. The codec hands a DATA payload on in the pieces it arrives in, but the runtime queues whole frames,
//! 50 a queue: to count as it does, one has to know which piece is a frame's last.

use bytes::Bytes;
use kubectl_fwd::spdy::frame::HEAD;

/// Cuts a byte stream so that no slice holds bytes of two frames.
#[derive(Debug, Default)]
pub(super) struct FrameSplitter {
    head: [u8; HEAD],
    have: usize,
    /// Payload bytes of the frame under way that have not come.
    left: usize,
}

impl FrameSplitter {
    /// The next slice of `input`, and whether a frame ends with it; `None` once `input` is empty.
    pub(super) fn cut(&mut self, input: &mut Bytes) -> Option<(Bytes, bool)> {
        if input.is_empty() {
            return None;
        }
        if self.left > 0 {
            let slice = input.split_to(self.left.min(input.len()));
            self.left -= slice.len();
            return Some((slice, self.left == 0));
        }
        let slice = input.split_to((HEAD - self.have).min(input.len()));
        self.head[self.have..self.have + slice.len()].copy_from_slice(&slice);
        self.have += slice.len();
        if self.have < HEAD {
            return Some((slice, false));
        }
        self.have = 0;
        self.left = self.head[5..].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        Some((slice, self.left == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_they_end_however_the_bytes_come() {
        let stream = [0, 0, 0, 3, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 3, 1, 0, 0, 0];
        for step in 1..=stream.len() {
            let mut frame_splitter = FrameSplitter::default();
            let (mut at, mut ends) = (0, Vec::new());
            for chunk in stream.chunks(step) {
                let mut input = Bytes::copy_from_slice(chunk);
                while let Some((slice, end)) = frame_splitter.cut(&mut input) {
                    at += slice.len();
                    if end {
                        ends.push(at);
                    }
                }
            }
            assert_eq!(ends, [10, 18], "in steps of {step}");
        }
    }
}
