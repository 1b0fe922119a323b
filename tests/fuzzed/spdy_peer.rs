//! A session, what its peer has seen of it, and what must hold of both after every step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use kubectl_fwd::spdy::{
    frame::{self, Frame, FrameDecoder},
    session::{CreditMode, PairEnd, PairId, SendStatus, SpdyEvent, SpdySession},
};

/// A session and what its peer has seen of it.
pub(super) struct Peer {
    session: SpdySession,
    /// Pairs that were opened and did not end.
    live: BTreeSet<PairId>,
    all: Vec<PairId>,
    finished: BTreeSet<PairId>,
    /// Pairs whose peers write no more.
    ended: BTreeSet<PairId>,
    decoder: FrameDecoder,
    /// The streams we opened, in their order.
    streams: Vec<u32>,
    data_of: BTreeMap<u32, PairId>,
}

impl Peer {
    pub(super) fn new(credit: CreditMode) -> Self {
        Self {
            session: SpdySession::new(credit),
            live: BTreeSet::new(),
            all: Vec::new(),
            finished: BTreeSet::new(),
            ended: BTreeSet::new(),
            decoder: FrameDecoder::default(),
            streams: Vec::new(),
            data_of: BTreeMap::new(),
        }
    }

    fn pick(&self, choice: u8) -> Option<PairId> {
        self.all.get(usize::from(choice) % self.all.len().max(1)).copied()
    }

    pub(super) fn open(&mut self, port: u16) -> bool {
        let mut out = BytesMut::new();
        if let Some(pair) = self.session.open(port, &mut out) {
            assert!(self.live.insert(pair), "a pair twice");
            self.all.push(pair);
        }
        self.read(out)
    }

    pub(super) fn send(&mut self, choice: u8, length: u16, fin: bool) -> bool {
        let Some(pair) = self.pick(choice) else { return true };
        let usable = self.live.contains(&pair) && !self.finished.contains(&pair);
        match self.session.send(pair, usize::from(length), fin) {
            SendStatus::Ready(head) => {
                assert!(usable);
                if fin {
                    self.finished.insert(pair);
                }
                let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
                assert_eq!(*self.data_of.entry(stream).or_insert(pair), pair, "one stream for two pairs");
                let mut out = BytesMut::from(&head[..]);
                out.resize(out.len() + usize::from(length), 0);
                self.read(out)
            }
            SendStatus::Blocked => {
                assert!(usable);
                true
            }
            SendStatus::Closed => {
                assert!(!usable);
                true
            }
        }
    }

    pub(super) fn reset(&mut self, choice: u8) -> bool {
        let Some(pair) = self.pick(choice) else { return true };
        let mut out = BytesMut::new();
        self.session.reset(pair, &mut out);
        self.live.remove(&pair);
        self.read(out)
    }

    pub(super) fn keep_alive(&mut self) -> bool {
        let mut out = BytesMut::new();
        self.session.keep_alive(&mut out);
        assert!(!out.is_empty(), "no question was asked");
        self.read(out)
    }

    pub(super) fn flush(&mut self) -> bool {
        let mut out = BytesMut::new();
        self.session.flush(&mut out);
        self.session.echo(&mut out);
        self.read(out)
    }

    pub(super) fn answer(&mut self, choice: u8, frame: impl FnOnce(u32, &mut BytesMut)) -> bool {
        let Some(&stream) = self.streams.get(usize::from(choice) % self.streams.len().max(1)) else {
            return true;
        };
        let mut out = BytesMut::new();
        frame(stream, &mut out);
        self.hear(&out)
    }

    /// Takes in what the peer says; false once that cannot be read.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> bool {
        let mut input = Bytes::copy_from_slice(bytes);
        loop {
            match self.session.receive(&mut input) {
                Ok(None) => break,
                Ok(Some(SpdyEvent::Data(pair, payload))) => {
                    assert!(self.live.contains(&pair) && !payload.is_empty());
                    assert!(!self.ended.contains(&pair), "bytes behind the end");
                }
                Ok(Some(SpdyEvent::DataEnd(pair))) => {
                    assert!(self.live.contains(&pair));
                    assert!(self.ended.insert(pair), "it ended twice");
                }
                Ok(Some(SpdyEvent::Ended(pair, end))) => {
                    assert!(self.live.remove(&pair), "it ended twice");
                    assert!(
                        !matches!(end, PairEnd::Failed(text) if text.is_empty() || text.len() > 16 * 1024)
                    );
                }
                Ok(Some(SpdyEvent::Pong | SpdyEvent::GoAway)) => {}
                Err(_) => return false,
            }
        }
        assert!(input.is_empty());
        self.flush()
    }

    /// Reads what we wrote.
    fn read(&mut self, out: BytesMut) -> bool {
        assert_eq!(self.session.len(), self.live.len());
        let mut out = out.freeze();
        while let Some(frame) = self.decoder.decode(&mut out).expect("we write SPDY") {
            match frame {
                // The question to the reader, which has its answer in being refused.
                Frame::SynStream { stream: 1, .. } => {
                    assert!(!self.streams.is_empty() || !self.all.is_empty());
                }
                Frame::SynStream { stream, .. } => {
                    assert!(self.streams.last().is_none_or(|last| *last < stream), "ids ascend");
                    self.streams.push(stream);
                }
                Frame::Data { stream, .. } | Frame::Reset { stream, .. } => {
                    assert!(self.streams.contains(&stream), "a stream that was not opened");
                }
                Frame::Ping { .. } => {}
                other => panic!("a client does not write {other:?}"),
            }
        }
        true
    }

    /// Nothing is left half written.
    pub(super) fn end(mut self) {
        let mut out = BytesMut::new();
        frame::put_ping(&mut out, 7);
        let mut out = out.freeze();
        assert_eq!(self.decoder.decode(&mut out), Ok(Some(Frame::Ping { id: 7 })));
    }
}
