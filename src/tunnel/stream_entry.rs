//! A session's view of one stream: where its bytes go, what it still wants to send, and what it is to the others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::stream::{Chunk, StreamEvent, StreamShared};
use crate::spdy::session::PairId;

/// A stream that moved more than this lately is a bulk one. Pages, queries and API answers are smaller; what is larger
/// fills the pipe for long enough to be felt by others.
const BULK: usize = 1024 * 1024;

/// A stream that moved more than this lately is a transfer. A page's head, a query's answer and most messages are smaller;
/// what is larger comes in several pieces.
const TRANSFER: usize = 64 * 1024;

/// How long a transfer may pause and still go on: an application that reads a disk or asks others, a network that loses
/// something.
const PAUSE: Duration = Duration::from_secs(2);

/// The open streams of a session.
pub(super) type StreamTable = HashMap<PairId, StreamEntry>;

/// What a stream wants to send and the peer has no room for yet. `backlog` gives it its turns.
#[derive(Default)]
pub(super) struct PendingData {
    pub(super) chunks: VecDeque<Chunk>,
    /// Nothing comes behind the chunks.
    pub(super) finish: bool,
    /// The queue of the peer in which its turn comes, while it has something to send.
    pub(super) queue: Option<usize>,
}

impl PendingData {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.finish
    }
}

/// One open stream, on the driver's side.
pub(super) struct StreamEntry {
    /// The first field: with the entry it is dropped before `inbound`, so that the stream's permits are free before the
    /// stream learns that it is lost.
    pub(super) pending: PendingData,
    pub(super) inbound: mpsc::UnboundedSender<StreamEvent>,
    pub(super) shared: Arc<StreamShared>,
    /// Bytes moved lately, both ways.
    moved: usize,
    /// When bytes came for it last.
    came: Option<Instant>,
    /// None come any more.
    pub(super) ended: bool,
    /// Its client has said something that was not answered yet.
    awaits: bool,
    /// It is counted as one that waits for another's client.
    blocked: bool,
}

impl StreamEntry {
    pub(super) fn new(inbound: mpsc::UnboundedSender<StreamEvent>, shared: Arc<StreamShared>) -> Self {
        Self {
            pending: PendingData::default(),
            inbound,
            shared,
            moved: 0,
            came: None,
            ended: false,
            awaits: false,
            blocked: false,
        }
    }

    pub(super) fn is_bulk(&self) -> bool {
        self.moved > BULK
    }

    /// Whether it moved more than a question and its answer: more may come, also after a pause.
    fn is_transfer(&self) -> bool {
        self.moved > TRANSFER
    }

    /// Whether something is to come for it that its client would take: an answer that is due, or more of a transfer.
    pub(super) fn is_owed(&self, now: Instant) -> bool {
        let lately = |came: Instant| now.duration_since(came) < PAUSE;
        let is_due = self.awaits || self.is_transfer() && !self.ended && self.came.is_some_and(lately);
        is_due && !self.shared.is_full()
    }

    /// Counts it as one that waits for another's client, or does not any more; whether that is news.
    pub(super) fn block(&mut self, blocked: bool) -> bool {
        if std::mem::replace(&mut self.blocked, blocked) == blocked {
            return false;
        }
        if blocked {
            self.shared.blocked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.blocked.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

/// How many streams of a session are transfers and bulk ones, and on how many an answer is due. Whatever changes that about a
/// stream is done here, so that the numbers are right at every moment and nobody has to count.
#[derive(Default)]
pub(super) struct StreamCounts {
    transfers: usize,
    bulk: usize,
    awaiting: usize,
}

impl StreamCounts {
    pub(super) fn has_bulk(&self) -> bool {
        self.bulk > 0
    }

    /// On how many streams something may be due.
    pub(super) fn owed(&self) -> usize {
        self.awaiting + self.transfers
    }

    /// The client has sent bytes on a stream.
    pub(super) fn sent(&mut self, entry: &mut StreamEntry, bytes: usize) {
        self.set_moved(entry, entry.moved.saturating_add(bytes));
        self.awaiting += usize::from(!std::mem::replace(&mut entry.awaits, true));
    }

    /// Bytes have come for a stream.
    pub(super) fn received(&mut self, entry: &mut StreamEntry, bytes: usize, now: Instant) {
        self.set_moved(entry, entry.moved.saturating_add(bytes));
        self.awaiting -= usize::from(std::mem::take(&mut entry.awaits));
        entry.came = Some(now);
    }

    /// The client has no more to say: what the stream has moved is forgotten.
    pub(super) fn half_closed(&mut self, entry: &mut StreamEntry) {
        self.set_moved(entry, 0);
    }

    /// Time goes by: what moved nothing for two turns of this is no bulk stream any more.
    pub(super) fn decay(&mut self, streams: &mut StreamTable) {
        for entry in streams.values_mut() {
            self.set_moved(entry, entry.moved.min(2 * BULK) / 2);
        }
    }

    /// A stream is gone.
    pub(super) fn remove(&mut self, entry: &StreamEntry) {
        self.transfers -= usize::from(entry.is_transfer());
        self.bulk -= usize::from(entry.is_bulk());
        self.awaiting -= usize::from(entry.awaits);
    }

    fn set_moved(&mut self, entry: &mut StreamEntry, moved: usize) {
        let (was_transfer, was_bulk) = (entry.is_transfer(), entry.is_bulk());
        entry.moved = moved;
        self.transfers = self.transfers - usize::from(was_transfer) + usize::from(entry.is_transfer());
        self.bulk = self.bulk - usize::from(was_bulk) + usize::from(entry.is_bulk());
    }
}

impl Drop for StreamEntry {
    fn drop(&mut self) {
        self.block(false);
    }
}
