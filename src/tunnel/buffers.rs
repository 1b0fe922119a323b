//! Memory that bytes pass through: blocks that go round.
//!
//! Blocks are mapped from the system one by one. The allocator's heap is a stack of pages: what is free below anything that
//! lives on stays with the process, and after a load whose clients were slow that was 20 MiB for good. A block with a mapping
//! of its own is given back whatever lies beside it.
//!
//! To map a block costs page faults, and one that was just used is still in the processor's cache. So those that are done
//! with are kept for whoever wants one next, the last one first; those that nobody wanted from one look to the next are
//! given back ([`give_back`]).

use std::{
    io, mem,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use memmap2::MmapMut;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};

use crate::spdy::frame::{HEAD, MAX_DATA};

/// What is read at once: a frame of Go's 32 KiB, or two full TLS records.
pub(super) const READ: usize = 32 * 1024;

/// A shorter read is copied, or it would keep more than twice its length for as long as a client does not take it.
const COPY_BELOW: usize = READ / 2;

/// What sessions read into. Kept are what eight of them at full speed read between two turns of the connections' tasks: at
/// most 2 MiB, however many connections there are.
static INBOUND: BlockPool = BlockPool::new(READ, 64);

/// For DATA frames with their heads. Kept are two for each of sixteen connections at full speed, or 2 MiB.
static OUTBOUND: BlockPool = BlockPool::new(HEAD + MAX_DATA, 32);

/// Gives blocks back to the system that were not wanted since the last time. Every session asks for it with its pings, so of
/// a load nothing is left a few seconds later.
pub(super) fn give_back() {
    for pool in [&INBOUND, &OUTBOUND] {
        let unwanted = pool.spare.lock().unwanted();
        drop(unwanted);
    }
}

/// Reads what is there, up to [`READ`] bytes; none at the end. While nothing is there no block is held.
pub(super) fn poll_read(io: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    let mut block = INBOUND.acquire();
    let mut room = ReadBuf::new(&mut block);
    ready!(io.poll_read(cx, &mut room))?;
    let length = room.filled().len();
    Poll::Ready(Ok(block.freeze(length)))
}

/// A block for a DATA frame and its head.
pub(super) fn outbound() -> Block {
    OUTBOUND.acquire()
}

/// Blocks of one length.
#[derive(Debug)]
struct BlockPool {
    length: usize,
    spare: Mutex<SpareBlocks>,
}

impl BlockPool {
    const fn new(length: usize, limit: usize) -> Self {
        Self { length, spare: Mutex::new(SpareBlocks::new(limit)) }
    }

    fn acquire(&'static self) -> Block {
        let spare = self.spare.lock().take();
        Block { memory: spare.unwrap_or_else(|| Memory::new(self.length)), pool: self }
    }
}

/// Where a block's bytes are.
#[derive(Debug)]
enum Memory {
    Mapped(MmapMut),
    /// The system maps no more, by a limit of its own, and the allocator may still have some.
    Allocated(Box<[u8]>),
}

impl Memory {
    fn new(length: usize) -> Self {
        MmapMut::map_anon(length).map_or_else(|_| Self::Allocated(vec![0; length].into()), Self::Mapped)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Allocated(Box::default())
    }
}

/// The blocks that nobody has.
#[derive(Debug)]
struct SpareBlocks {
    /// The one that was used last is at the end.
    blocks: Vec<Memory>,
    /// The fewest there were since the last look: so many from the front were not wanted.
    fewest: usize,
    /// How many are kept.
    limit: usize,
}

impl SpareBlocks {
    const fn new(limit: usize) -> Self {
        Self { blocks: Vec::new(), fewest: 0, limit }
    }

    fn take(&mut self) -> Option<Memory> {
        let block = self.blocks.pop();
        self.fewest = self.fewest.min(self.blocks.len());
        block
    }

    /// Keeps a block; gives it back where there are enough.
    fn put(&mut self, block: Memory) -> Option<Memory> {
        if self.blocks.len() == self.limit {
            return Some(block);
        }
        self.blocks.push(block);
        None
    }

    fn unwanted(&mut self) -> Vec<Memory> {
        let unwanted = self.blocks.drain(..self.fewest).collect();
        self.fewest = self.blocks.len();
        unwanted
    }
}

/// A block, until it is dropped. What is in it is of no meaning until it is written.
#[derive(Debug)]
pub(super) struct Block {
    memory: Memory,
    pool: &'static BlockPool,
}

impl Block {
    /// Its first `length` bytes, which were read into it. A few are copied, and the block is free at once; of others the last
    /// slice gives it back.
    fn freeze(self, length: usize) -> Bytes {
        if length < COPY_BELOW {
            Bytes::copy_from_slice(&self[..length])
        } else {
            Bytes::from_owner(FilledBlock { block: self, length })
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Mapped(bytes) => bytes,
            Memory::Allocated(bytes) => bytes,
        }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Mapped(bytes) => bytes,
            Memory::Allocated(bytes) => bytes,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let too_many = self.pool.spare.lock().put(mem::take(&mut self.memory));
        drop(too_many);
    }
}

/// A block with bytes in front.
struct FilledBlock {
    block: Block,
    length: usize,
}

impl AsRef<[u8]> for FilledBlock {
    fn as_ref(&self) -> &[u8] {
        &self.block[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(byte: u8) -> Memory {
        Memory::Allocated([byte].into())
    }

    fn first(block: Option<Memory>) -> Option<u8> {
        match block? {
            Memory::Mapped(bytes) => bytes.first().copied(),
            Memory::Allocated(bytes) => bytes.first().copied(),
        }
    }

    #[test]
    fn the_block_that_was_used_last_is_used_next_and_so_many_are_kept() {
        let mut spare = SpareBlocks::new(4);
        assert!(spare.take().is_none());
        (0..4).for_each(|byte| assert!(spare.put(block(byte)).is_none()));
        assert_eq!(first(spare.put(block(4))), Some(4));
        assert_eq!(first(spare.take()), Some(3));
    }

    #[test]
    fn blocks_that_nobody_wants_are_given_back() {
        let mut spare = SpareBlocks::new(8);
        (0..8).for_each(|byte| assert!(spare.put(block(byte)).is_none()));
        assert!(spare.unwanted().is_empty(), "all of them were in use a moment ago");
        // Three are in use at a time, over and over.
        for _ in 0..10 {
            let used: Vec<_> = (0..3).filter_map(|_| spare.take()).collect();
            for block in used {
                assert!(spare.put(block).is_none());
            }
        }
        let unwanted = spare.unwanted().into_iter().map(|block| first(Some(block)));
        assert_eq!(unwanted.flatten().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(spare.blocks.len(), 3);
        // Then nobody wants any.
        assert_eq!(spare.unwanted().len(), 3);
        assert!(spare.blocks.is_empty());
    }

    #[test]
    fn a_slice_keeps_its_block_and_few_bytes_keep_none() {
        let read = |length| {
            let mut block = INBOUND.acquire();
            let at = block.as_ptr();
            block[..length].fill(7);
            let bytes = block.freeze(length);
            assert_eq!(bytes, vec![7; length]);
            bytes.as_ptr() == at
        };
        assert!(read(READ));
        assert!(read(COPY_BELOW));
        assert!(!read(COPY_BELOW - 1));
    }
}
