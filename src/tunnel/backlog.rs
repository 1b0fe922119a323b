//! What streams want to send and the peer has no room for yet (PROTOCOL §2.8).
//!
//! All DATA goes through here: what has credit leaves at once, the rest waits in its stream's entry for a queue at the
//! peer, where streams take turns, a frame each. A stream that waits costs its two buffers, for it gets no more permits
//! meanwhile (see [`super::stream`]); a finish waits behind them.

use std::{collections::VecDeque, sync::Arc};

use super::{
    stream::Chunk,
    stream_entry::{PendingData, StreamTable},
    write_queue::WriteQueue,
};
use crate::spdy::session::{PairId, SendStatus, SpdySession};

/// Which of a session's streams is next, for each of the peer's queues.
#[derive(Default)]
pub(super) struct Backlog {
    turns: [VecDeque<PairId>; SpdySession::QUEUES],
}

impl Backlog {
    /// Drops what the stream, which is no longer in the table, still wanted to send.
    pub(super) fn remove(&mut self, pair: PairId, pending: &mut PendingData) {
        if let Some(queue) = std::mem::take(pending).queue {
            self.turns[queue].retain(|other| *other != pair);
        }
    }

    /// Sends `chunk`, now or later. A stream that is gone sends no more.
    pub(super) fn send(
        &mut self,
        pair: PairId,
        chunk: Chunk,
        streams: &mut StreamTable,
        spdy: &mut SpdySession,
        write_queue: &mut WriteQueue,
    ) {
        self.put(pair, streams, spdy, write_queue, |pending| pending.chunks.push_back(chunk));
    }

    /// Sends the stream's FIN behind all else.
    pub(super) fn finish(
        &mut self,
        pair: PairId,
        streams: &mut StreamTable,
        spdy: &mut SpdySession,
        write_queue: &mut WriteQueue,
    ) {
        self.put(pair, streams, spdy, write_queue, |pending| pending.finish = true);
    }

    fn put(
        &mut self,
        pair: PairId,
        streams: &mut StreamTable,
        spdy: &mut SpdySession,
        write_queue: &mut WriteQueue,
        put: impl FnOnce(&mut PendingData),
    ) {
        let Some(entry) = streams.get_mut(&pair) else { return };
        put(&mut entry.pending);
        let queue = *entry.pending.queue.get_or_insert_with(|| {
            let queue = spdy.queue(pair);
            self.turns[queue].push_back(pair);
            queue
        });
        self.drain(queue, streams, spdy, write_queue);
    }

    /// Sends what may be sent, and what the session itself had waiting.
    pub(super) fn pump(
        &mut self,
        streams: &mut StreamTable,
        spdy: &mut SpdySession,
        write_queue: &mut WriteQueue,
    ) {
        write_queue.control(|out| spdy.flush(out));
        // Pairs are opened in the order in which they came.
        while let Some(&pair) = self.turns[SpdySession::UNOPENED].front()
            && spdy.queue(pair) != SpdySession::UNOPENED
        {
            self.turns[SpdySession::UNOPENED].pop_front();
            if let Some(entry) = streams.get_mut(&pair) {
                entry.pending.queue = Some(spdy.queue(pair));
                self.turns[spdy.queue(pair)].push_back(pair);
            }
        }
        for queue in 0..SpdySession::QUEUES {
            self.drain(queue, streams, spdy, write_queue);
        }
    }

    /// Sends a queue's frames, one of each stream in turn, until it is full or nothing is left.
    fn drain(
        &mut self,
        queue: usize,
        streams: &mut StreamTable,
        spdy: &mut SpdySession,
        write_queue: &mut WriteQueue,
    ) {
        while let Some(pair) = self.turns[queue].pop_front() {
            let Some(entry) = streams.get_mut(&pair) else { continue };
            let pending = &mut entry.pending;
            let length = pending.chunks.front().map_or(0, |chunk| chunk.payload().len());
            let last = pending.chunks.is_empty();
            match spdy.send(pair, length, last) {
                SendStatus::Blocked => return self.turns[queue].push_front(pair),
                SendStatus::Closed => {
                    pending.chunks.clear();
                    pending.finish = false;
                }
                SendStatus::Ready(head) => {
                    if let Some(mut chunk) = pending.chunks.pop_front() {
                        chunk.head().copy_from_slice(&head);
                        write_queue.data(chunk, Arc::clone(&entry.shared));
                    } else {
                        pending.finish = false;
                        write_queue.control(|out| out.extend_from_slice(&head));
                    }
                }
            }
            if pending.is_empty() {
                pending.queue = None;
            } else {
                self.turns[queue].push_back(pair);
            }
            // A ping that is due goes right behind the frame that made it so.
            write_queue.control(|out| spdy.flush(out));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        spdy::frame::{self, Frame, FrameDecoder},
        tunnel::{
            stream::{Stream, StreamCommand, StreamShared},
            stream_entry::StreamEntry,
            write_queue::Framing,
        },
    };

    /// A session whose peer answers nothing.
    struct TestStream {
        backlog: Backlog,
        streams: StreamTable,
        spdy: SpdySession,
        write_queue: WriteQueue,
        wire: Vec<u8>,
        decoder: FrameDecoder,
    }

    impl TestStream {
        fn new() -> Self {
            Self {
                backlog: Backlog::default(),
                streams: StreamTable::new(),
                spdy: SpdySession::new(crate::spdy::session::CreditMode::On),
                write_queue: WriteQueue::new(Framing::Plain),
                wire: Vec::new(),
                decoder: FrameDecoder::default(),
            }
        }

        fn open(&mut self) -> (PairId, Arc<StreamShared>, Stream) {
            let (commands, mut receiver) = mpsc::unbounded_channel();
            let stream = Stream::open(commands, &Arc::default(), 80, Arc::default());
            let Ok(StreamCommand::Open { stream: shared, inbound, .. }) = receiver.try_recv() else {
                panic!("not opened")
            };
            let spdy = &mut self.spdy;
            let pair = self.write_queue.control(|out| spdy.open(80, out)).unwrap();
            self.streams.insert(pair, StreamEntry::new(inbound, Arc::clone(&shared)));
            (pair, shared, stream)
        }

        async fn send(&mut self, pair: PairId, stream: &Stream, byte: u8) {
            let mut chunk = Chunk::new(stream.send.permit().await);
            chunk.put(&[byte]);
            self.backlog.send(pair, chunk, &mut self.streams, &mut self.spdy, &mut self.write_queue);
        }

        /// What was sent: a byte for DATA, `.` for FIN, `!` for RST; pings come back in order.
        async fn sent(&mut self) -> (String, Vec<u32>) {
            self.write_queue.write_all(&mut self.wire).await.unwrap();
            let mut bytes = Bytes::from(std::mem::take(&mut self.wire));
            let (mut sent, mut pings) = (String::new(), Vec::new());
            while let Some(frame) = self.decoder.decode(&mut bytes).unwrap() {
                match frame {
                    Frame::Data { payload, .. } => {
                        sent.push(payload.first().map_or('.', |byte| *byte as char));
                    }
                    Frame::Reset { .. } => sent.push('!'),
                    Frame::Ping { id } => pings.push(id),
                    _ => {}
                }
            }
            (sent, pings)
        }

        fn answer(&mut self, pings: &[u32]) {
            let mut bytes = bytes::BytesMut::new();
            for id in pings {
                frame::put_ping(&mut bytes, *id);
            }
            let mut bytes = bytes.freeze();
            while self.spdy.receive(&mut bytes).unwrap().is_some() {}
            self.backlog.pump(&mut self.streams, &mut self.spdy, &mut self.write_queue);
        }
    }

    #[tokio::test]
    async fn what_waits_takes_turns_and_a_finish_is_last() {
        let mut end = TestStream::new();
        let (bulk, _, bulk_stream) = end.open();
        let others: Vec<_> = (0..3).map(|_| end.open()).collect();
        let (a, a_shared, a_stream) = end.open();
        (0..3).for_each(|_| drop(end.open()));
        let (b, _, b_stream) = end.open();
        assert!([a, b].iter().all(|pair| end.spdy.queue(*pair) == end.spdy.queue(bulk)));
        let mut window = String::new();
        let mut pings = Vec::new();
        loop {
            end.send(bulk, &bulk_stream, b'x').await;
            let (sent, new) = end.sent().await;
            pings.extend(new);
            if sent.is_empty() {
                break;
            }
            window += &sent;
        }
        assert!(window.len() > 8 && window.chars().all(|sent| sent == 'x'), "{window}");
        // The queue is full, with one x more to come.
        for (pair, stream, byte) in [(a, &a_stream, b'a'), (b, &b_stream, b'b')] {
            end.send(pair, stream, byte).await;
            end.send(pair, stream, byte).await;
        }
        end.backlog.finish(a, &mut end.streams, &mut end.spdy, &mut end.write_queue);
        assert_eq!(end.sent().await.0, "");
        assert!(!a_shared.data_written.load(Ordering::Relaxed));
        // A stream of another queue does not wait.
        let (other, _, other_stream) = &others[0];
        end.send(*other, other_stream, b'o').await;
        assert_eq!(end.sent().await.0, "o");
        end.answer(&pings);
        assert_eq!(end.sent().await.0, "xabab.");
        assert!(a_shared.data_written.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn what_a_stream_left_behind_is_dropped() {
        let mut end = TestStream::new();
        let (pair, shared, stream) = end.open();
        let mut pings = Vec::new();
        loop {
            end.send(pair, &stream, b'x').await;
            let (sent, new) = end.sent().await;
            pings.extend(new);
            if sent.is_empty() {
                break;
            }
        }
        drop(shared);
        let mut entry = end.streams.remove(&pair).unwrap();
        end.backlog.remove(pair, &mut entry.pending);
        let (spdy, write_queue) = (&mut end.spdy, &mut end.write_queue);
        write_queue.control(|out| spdy.reset(pair, out));
        end.answer(&pings);
        assert_eq!(end.sent().await.0, "!");
        // Its permits are free: nothing of it is kept.
        let _both = (stream.send.permit().await, stream.send.permit().await);
    }
}
