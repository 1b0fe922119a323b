//! Buffers that go round.
//!
//! Bytes pass through buffers of 64 KiB. To ask the allocator for each, and to give each back, costs page faults; and a
//! buffer that was just used is still in the processor's cache. So those that are done with are kept, a few: outbound
//! ones for the whole process, since a buffer is wanted by whichever connection has something to send, inbound ones with
//! the session that reads into them.

use std::collections::VecDeque;

use bytes::BytesMut;
use parking_lot::Mutex;

/// Outbound buffers that are kept: what one session at full speed has under way (see `outbox`), and some for the others.
/// At most 1 MiB in all, however many connections there are.
const MAX_SPARE: usize = 16;

/// Inbound buffers that are looked at again before they are let go, and so what a session keeps beyond what its streams
/// hold: 512 KiB, which is what it reads between two turns of the connections' tasks (see `session`).
const MAX_RETIRED: usize = 8;

static SPARE: Mutex<Vec<BytesMut>> = Mutex::new(Vec::new());

/// An empty buffer with room for so many bytes.
pub(super) fn acquire(room: usize) -> BytesMut {
    let mut buffer = spare(Vec::pop).unwrap_or_default();
    buffer.reserve(room);
    buffer
}

/// Gives a buffer back.
pub(super) fn release(mut buffer: BytesMut) {
    buffer.clear();
    spare(|spare| {
        if spare.len() < MAX_SPARE {
            spare.push(buffer);
        }
    });
}

fn spare<T>(with: impl FnOnce(&mut Vec<BytesMut>) -> T) -> T {
    // A vector of buffers is whole after any panic.
    with(&mut SPARE.lock())
}

/// What a session reads into. Slices of it travel on to the streams; a buffer none of which is left is read into again.
#[derive(Default)]
pub(super) struct ReadBuffers {
    /// Its spare capacity is read into.
    current: Option<BytesMut>,
    /// Those before it, the oldest first.
    retired: VecDeque<BytesMut>,
}

impl ReadBuffers {
    /// A buffer with room for at least `least` bytes, and for `most` where a new one is begun.
    pub(super) fn reserve(&mut self, least: usize, most: usize) -> &mut BytesMut {
        let full = self.current.take_if(|current| current.capacity() < least);
        self.retired.extend(full);
        if self.current.is_none() && self.retired.front_mut().is_some_and(|oldest| oldest.try_reclaim(most)) {
            self.current = self.retired.pop_front();
        } else if self.retired.len() > MAX_RETIRED {
            self.retired.pop_front();
        }
        self.current.get_or_insert_with(|| BytesMut::with_capacity(most))
    }

    /// Lets go of all that is kept.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, Bytes};

    use super::*;

    const LEAST: usize = 1024;
    const MOST: usize = 4096;

    fn read(inbox: &mut ReadBuffers, length: usize) -> Bytes {
        let buffer = inbox.reserve(LEAST, MOST);
        buffer.put_bytes(7, length);
        buffer.split().freeze()
    }

    #[test]
    fn a_buffer_is_read_into_again_once_nothing_of_it_is_left() {
        let mut inbox = ReadBuffers::default();
        let first = read(&mut inbox, MOST);
        let at = first.as_ptr();
        let second = read(&mut inbox, MOST);
        assert_ne!(second.as_ptr(), at);
        drop(first);
        let third = read(&mut inbox, 1);
        assert_eq!(third.as_ptr(), at);
        assert_eq!(
            read(&mut inbox, LEAST).as_ptr(),
            at.wrapping_add(1),
            "what is left of it is filled first"
        );
    }

    #[test]
    fn what_is_held_for_long_stands_in_nobodys_way() {
        let mut inbox = ReadBuffers::default();
        let held = read(&mut inbox, MOST);
        let mut seen: Vec<*const u8> = Vec::new();
        for _ in 0..4 * MAX_RETIRED {
            seen.push(read(&mut inbox, MOST).as_ptr());
            assert!(inbox.retired.len() <= MAX_RETIRED + 1);
        }
        assert_eq!(held, vec![7; MOST]);
        let last = seen.split_off(3 * MAX_RETIRED);
        assert!(last.iter().all(|at| seen.contains(at)), "buffers are allocated without end");
    }
}
