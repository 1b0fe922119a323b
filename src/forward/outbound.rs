//! Bytes on their way between a client and a pod's stream.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
use tokio::sync::OwnedSemaphorePermit;

use crate::tunnel::stream::{Chunk, SendStream};

/// What is to be sent.
pub(super) struct Outbound {
    pub permit: Option<OwnedSemaphorePermit>,
    /// Bytes read in an earlier attempt, to be sent before any others. One buffer takes them.
    pub resend: Bytes,
}

impl Outbound {
    /// Sends a part of them, where there is a buffer.
    pub(super) fn resend(&mut self, outgoing: &SendStream) {
        let Some(permit) = self.permit.take() else { return };
        let mut chunk = Chunk::new(permit);
        let put = chunk.put(&self.resend);
        self.resend.advance(put);
        outgoing.send(chunk);
    }
}

/// Forgets `n` written bytes.
pub(super) fn advance(pending: &mut VecDeque<Bytes>, mut n: usize) {
    while let Some(piece) = pending.front_mut()
        && n >= piece.len()
    {
        n -= piece.len();
        pending.pop_front();
    }
    if let Some(piece) = pending.front_mut() {
        piece.advance(n);
    }
}
