//! A session's view of one stream: where its bytes go, and whether it is a bulk one.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::stream::{Inbound, Shared};

/// A stream that moved more than this lately is a bulk one. Pages, queries and API answers are smaller; what is larger
/// fills the pipe for long enough to be felt by others.
const BULK: usize = 1024 * 1024;

/// One open stream, on the driver's side.
pub(super) struct Entry {
    pub(super) inbound: mpsc::UnboundedSender<Inbound>,
    pub(super) shared: Arc<Shared>,
    /// Bytes moved lately, both ways.
    pub(super) moved: usize,
}

impl Entry {
    pub(super) fn is_bulk(&self) -> bool {
        self.moved > BULK
    }

    /// Counts bytes moved; true when they make the stream a bulk one.
    pub(super) fn moves(&mut self, bytes: usize) -> bool {
        let before = self.is_bulk();
        self.moved = self.moved.saturating_add(bytes);
        !before && self.is_bulk()
    }

    /// Time goes by: what moved nothing for two turns of this is no bulk stream any more.
    pub(super) fn settles(&mut self) {
        self.moved = self.moved.min(2 * BULK) / 2;
    }
}
