//! A session against a model of its peer: five queues of fifty, one reader, a worker a queue that stops while the
//! application of its frame does not read (PROTOCOL §2.7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{CAPACITY, MARK_EVERY, QUEUES, WINDOW, queue_of};
use crate::spdy::{
    frame::{self, Frame, FrameDecoder},
    header::HeaderEncoder,
    session::{CreditMode, PairId, SendStatus, SpdySession},
};

/// The peer.
#[derive(Default)]
struct QueuePeer {
    decoder: FrameDecoder,
    encoder: HeaderEncoder,
    /// What the reader has not sorted yet.
    input: VecDeque<Frame>,
    /// The first of each is in its worker's hands.
    queues: [VecDeque<Frame>; QUEUES],
    next: usize,
    highest: u32,
    /// Streams whose applications do not read.
    stalled: BTreeSet<u32>,
    /// Frames that each application got, in order.
    read: BTreeMap<u32, u32>,
    pings: u32,
    probes: u32,
    answers: BytesMut,
}

/// A header block with no headers in it, whether or not it is a session's first.
fn is_empty(block: &[u8]) -> bool {
    block.ends_with(&[4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
}

impl QueuePeer {
    fn take(&mut self, bytes: &mut BytesMut) {
        let mut bytes = bytes.split().freeze();
        while let Some(frame) = self.decoder.decode(&mut bytes).unwrap() {
            self.input.push_back(frame);
        }
    }

    /// The reader sorts one frame; whether it did.
    fn read(&mut self) -> bool {
        let Some(frame) = self.input.front() else { return false };
        let queue = match frame {
            Frame::SynStream { stream, .. } if *stream < self.highest + 2 => {
                frame::put_reset(&mut self.answers, *stream, 1);
                self.input.pop_front();
                return true;
            }
            Frame::SynStream { stream, .. } | Frame::Data { stream, .. } | Frame::Reset { stream, .. } => {
                queue_of(*stream)
            }
            Frame::Ping { .. } => self.next,
            other => panic!("clients do not send {other:?}"),
        };
        if self.queues[queue].len() >= CAPACITY {
            // Queue 0 is emptied whatever applications do: the reader waits for its worker, and no longer.
            assert_eq!(queue, 0, "the reader is blocked");
            return false;
        }
        let Some(frame) = self.input.pop_front() else { return false };
        match frame {
            Frame::Ping { .. } => self.next = (self.next + 1) % QUEUES,
            Frame::SynStream { stream, .. } => self.highest = stream,
            _ => {}
        }
        self.queues[queue].push_back(frame);
        true
    }

    /// A worker handles one frame; whether it could.
    fn work(&mut self, queue: usize) -> bool {
        match self.queues[queue].front() {
            None => return false,
            Some(Frame::SynStream { stream, block, .. }) if is_empty(block) => {
                self.probes += 1;
                frame::put_reset(&mut self.answers, *stream, frame::STATUS_CANCEL);
            }
            Some(Frame::SynStream { stream, .. }) => {
                frame::put_syn_reply(&mut self.answers, &mut self.encoder, *stream);
            }
            Some(Frame::Data { stream, .. }) if self.stalled.contains(stream) => return false,
            Some(Frame::Data { stream, payload, .. }) => {
                let read = self.read.entry(*stream).or_default();
                if let Ok(number) = payload.clone().try_get_u32() {
                    assert_eq!(number, *read, "out of order");
                    *read += 1;
                }
            }
            Some(Frame::Ping { id }) if id % 2 == 1 => {
                self.pings += 1;
                frame::put_ping(&mut self.answers, *id);
            }
            Some(_) => {}
        }
        self.queues[queue].pop_front();
        true
    }

    fn settle(&mut self) {
        while self.read() | (0..QUEUES).fold(false, |any, queue| self.work(queue) | any) {}
        assert!(self.input.is_empty(), "the reader is blocked");
    }
}

/// Both ends.
struct SlowLink {
    session: SpdySession,
    peer: QueuePeer,
    out: BytesMut,
    /// Frames that each pair wants to send, and those it has sent.
    wants: BTreeMap<PairId, (u32, u32)>,
}

impl SlowLink {
    fn new() -> Self {
        let (session, peer) = (SpdySession::new(CreditMode::On), QueuePeer::default());
        Self { session, peer, out: BytesMut::new(), wants: BTreeMap::new() }
    }

    fn open(&mut self) -> PairId {
        let pair = self.session.open(80, &mut self.out).unwrap();
        self.wants.insert(pair, (0, 0));
        pair
    }

    fn want(&mut self, pair: PairId, frames: u32) {
        self.wants.get_mut(&pair).unwrap().0 += frames;
        self.send(pair);
    }

    /// Sends what there is credit for.
    fn send(&mut self, pair: PairId) {
        let (want, sent) = self.wants.get_mut(&pair).unwrap();
        while sent < want {
            let SendStatus::Ready(head) = self.session.send(pair, 4, false) else { break };
            self.out.put_slice(&head);
            self.out.put_u32(*sent);
            *sent += 1;
            self.session.flush(&mut self.out);
        }
    }

    fn send_all(&mut self) {
        let pairs: Vec<_> = self.wants.keys().copied().collect();
        for pair in pairs {
            self.send(pair);
        }
    }

    fn reset(&mut self, pair: PairId) {
        self.session.reset(pair, &mut self.out);
        self.wants.remove(&pair);
    }

    /// The peer's answers come in.
    fn hear(&mut self) {
        let mut answers = self.peer.answers.split().freeze();
        while self.session.receive(&mut answers).unwrap().is_some() {}
        self.session.flush(&mut self.out);
        self.session.echo(&mut self.out);
        self.send_all();
    }

    /// Until nothing moves.
    fn settle(&mut self) {
        while !(self.out.is_empty() && self.peer.input.is_empty() && self.peer.answers.is_empty()) {
            self.peer.take(&mut self.out);
            self.peer.settle();
            self.hear();
        }
    }

    /// Opens a pair whose application does not read, and sends it more than will be taken.
    fn stall(&mut self) -> PairId {
        let pair = self.open();
        self.peer.stalled.insert(self.stream(pair));
        self.want(pair, 1000);
        self.settle();
        pair
    }

    fn resume(&mut self) {
        self.peer.stalled.clear();
        self.peer.settle();
        self.hear();
        self.settle();
    }

    fn stream(&self, pair: PairId) -> u32 {
        self.session.data_stream(pair).unwrap()
    }

    fn read(&self, pair: PairId) -> u32 {
        self.peer.read.get(&self.stream(pair)).copied().unwrap_or(0)
    }

    /// The most that a queue with DATA holds.
    fn fullest(&self) -> usize {
        self.peer.queues[1..].iter().map(VecDeque::len).max().unwrap_or(0)
    }
}

#[test]
fn the_reader_never_blocks_and_every_frame_arrives() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut link = SlowLink::new();
        for _ in 0..20 {
            for _ in 0..random.usize(..60) {
                let pairs: Vec<_> = link.wants.keys().copied().collect();
                let pair = random.choice(&pairs).copied();
                match (random.u8(..12), pair) {
                    (0 | 1, _) => _ = link.open(),
                    (2, Some(pair)) if link.session.queue(pair) != SpdySession::UNOPENED => {
                        link.peer.stalled.insert(link.stream(pair));
                    }
                    (3, _) => {
                        let _ = link.peer.stalled.pop_first();
                    }
                    (4, Some(pair)) => link.reset(pair),
                    (5, _) => link.session.keep_alive(&mut link.out),
                    (6, _) => {
                        frame::put_ping(&mut link.peer.answers, 2);
                        link.hear();
                    }
                    (7, _) => {
                        link.peer.take(&mut link.out);
                        (0..random.u8(..40)).for_each(|_| _ = link.peer.read());
                    }
                    (8, _) => (0..random.u8(..40)).for_each(|_| _ = link.peer.work(random.usize(..QUEUES))),
                    (9, _) => link.hear(),
                    (_, Some(pair)) => link.want(pair, random.u32(..30)),
                    _ => {}
                }
                assert!(link.fullest() <= CAPACITY);
            }
            link.settle();
            link.resume();
            for (pair, (want, _)) in &link.wants {
                assert_eq!(link.read(*pair), *want, "seed {seed}");
            }
        }
    }
}

#[test]
fn a_stalled_queue_holds_its_window_and_the_others_go_on() {
    let mut link = SlowLink::new();
    let stalled = link.stall();
    let queue = link.session.queue(stalled);
    let data = |frame: &&Frame| matches!(frame, Frame::Data { .. });
    assert_eq!(link.peer.queues[queue].iter().filter(data).count(), WINDOW);
    for _ in 0..3 {
        let other = link.open();
        assert_ne!(link.session.queue(other), queue);
        link.want(other, 150);
        link.settle();
        assert_eq!(link.read(other), 150);
        assert!(link.fullest() <= CAPACITY);
    }
    link.resume();
    assert_eq!(link.read(stalled), 1000);
}

/// Beside one stalled application another may take whatever it likes and stall as well, and another.
#[test]
fn applications_stall_one_after_another() {
    for frames in [0, 30, 400, 600, 5_000] {
        let mut link = SlowLink::new();
        let mut stalled = vec![link.stall()];
        while stalled.len() < QUEUES - 1 {
            let next = link.open();
            link.want(next, frames);
            link.settle();
            assert_eq!(link.read(next), frames);
            link.peer.stalled.insert(link.stream(next));
            link.want(next, 1000);
            link.settle();
            assert!(link.fullest() <= CAPACITY);
            stalled.push(next);
        }
        // Liveness needs none of the queues that carry DATA.
        link.session.keep_alive(&mut link.out);
        link.settle();
        link.resume();
        assert!(stalled[1..].iter().all(|pair| link.read(*pair) == frames + 1000));
    }
}

/// The runtime logs each probe. None is sent while everything moves, and few where something does not.
#[test]
fn probes_are_sparing() {
    let mut link = SlowLink::new();
    let pairs: Vec<_> = (0..4).map(|_| link.open()).collect();
    for _ in 0..500 {
        for pair in &pairs {
            link.want(*pair, 20);
        }
        link.settle();
    }
    assert_eq!(link.peer.probes, 0);
    link.peer.stalled.insert(link.stream(pairs[0]));
    link.want(pairs[0], 1000);
    for _ in 0..100 {
        link.want(pairs[1], WINDOW as u32);
        link.settle();
    }
    assert!((1..=100).contains(&link.peer.probes), "{}", link.peer.probes);
}

/// An echo of ours takes a place too.
#[test]
fn the_peers_pings_are_echoed_where_there_is_room() {
    let mut link = SlowLink::new();
    let _ = link.stall();
    for _ in 0..1000 {
        frame::put_ping(&mut link.peer.answers, 2);
        link.hear();
        link.settle();
    }
    assert!(link.fullest() <= CAPACITY);
    link.resume();
    let other = link.open();
    link.want(other, 100);
    link.settle();
    assert_eq!(link.read(other), 100);
}

/// When no ping can be sent any more, the others are proven by probes; and when one can, all is as before.
#[test]
fn one_application_may_stall_for_good() {
    let mut link = SlowLink::new();
    let stalled = link.stall();
    let others = [link.open(), link.open(), link.open()];
    for _ in 0..500 {
        for other in others {
            link.want(other, 20);
        }
        link.session.keep_alive(&mut link.out);
        link.settle();
        let held = link.peer.queues[link.session.queue(stalled)].len();
        assert!(held <= CAPACITY, "{held}");
    }
    assert!(others.iter().all(|other| link.read(*other) == 10_000));
    link.resume();
    assert_eq!(link.read(stalled), 1000);
    for other in others {
        link.want(other, 1);
        link.settle();
        link.peer.stalled.insert(link.stream(other));
        link.want(other, 1000);
        link.settle();
    }
    assert!(link.fullest() <= CAPACITY);
    link.resume();
    assert!(others.iter().all(|other| link.read(*other) == 11_001));
}

/// A new pair goes where answers come from.
#[test]
fn new_pairs_keep_off_stalled_queues() {
    let mut link = SlowLink::new();
    let _ = link.stall();
    let others = [link.open(), link.open()];
    for round in 0..20 {
        if round == 10 {
            let _ = link.stall();
        }
        for other in others {
            link.want(other, if round < 10 { 20 } else { 200 });
        }
        link.settle();
    }
    let new = link.open();
    link.want(new, 1);
    link.settle();
    assert_eq!(link.read(new), 1);
}

/// Their SYN_STREAMs are marks: connections come and go without a ping.
#[test]
fn short_connections_need_no_pings() {
    let mut link = SlowLink::new();
    let stalled = link.stall();
    link.reset(stalled);
    let pings = link.peer.pings;
    for _ in 0..5_000 {
        let pair = link.open();
        link.want(pair, 2);
        link.settle();
        assert_eq!(link.read(pair), 2);
        link.reset(pair);
    }
    link.settle();
    assert!(link.fullest() <= CAPACITY);
    assert_eq!(link.peer.pings, pings);
}

#[test]
fn with_all_queues_full_a_new_pair_waits() {
    let mut link = SlowLink::new();
    (0..4).for_each(|_| _ = link.stall());
    let queues: BTreeSet<_> = link.wants.keys().map(|pair| link.session.queue(*pair)).collect();
    assert_eq!(queues.len(), 4);
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let pair = link.open();
        link.want(pair, 1);
        waiting.push(pair);
        link.settle();
        assert!(link.fullest() <= CAPACITY);
    }
    assert_eq!(link.session.queue(waiting[199]), SpdySession::UNOPENED);
    // One that goes before its turn is never heard of.
    link.reset(waiting[199]);
    link.resume();
    waiting.truncate(199);
    assert!(waiting.iter().all(|pair| link.read(*pair) == 1));
    assert_eq!(link.peer.highest, link.stream(waiting[198]));
}

#[test]
fn liveness_is_answered_beside_a_stalled_application() {
    let mut link = SlowLink::new();
    let _ = link.stall();
    for _ in 0..1000 {
        link.session.keep_alive(&mut link.out);
        link.peer.take(&mut link.out);
        link.peer.settle();
        assert!(!link.peer.answers.is_empty());
        link.hear();
    }
    assert!(link.fullest() <= CAPACITY);
}

#[test]
fn bulk_costs_few_pings() {
    let mut link = SlowLink::new();
    let pair = link.open();
    for _ in 0..1000 {
        link.want(pair, 1);
        link.settle();
    }
    let rounds = 1000_u32.div_ceil(MARK_EVERY as u32);
    assert!(link.peer.pings <= rounds * QUEUES as u32, "{}", link.peer.pings);
}

/// No spdystream: everything may be sent, and pings stay what they are.
#[test]
fn an_echo_out_of_order_switches_credit_off() {
    let ping = |session: &mut SpdySession, id| {
        let mut echo = BytesMut::new();
        frame::put_ping(&mut echo, id);
        assert!(session.receive(&mut echo.freeze()).unwrap().is_some());
    };
    let unlimited = |session: &mut SpdySession, pair| {
        (0..1000).all(|_| matches!(session.send(pair, 4, false), SendStatus::Ready(_)))
    };
    let mut out = BytesMut::new();
    for (echoes, is_off) in [(&[3, 5, 1][..], false), (&[11, 1], true), (&[1, 1], true), (&[99], true)] {
        let mut session = SpdySession::new(CreditMode::On);
        let pair = session.open(80, &mut out).unwrap();
        session.keep_alive(&mut out);
        session.keep_alive(&mut out);
        for id in echoes {
            ping(&mut session, *id);
        }
        assert_eq!(unlimited(&mut session, pair), is_off, "{echoes:?}");
        session.flush(&mut out);
    }
    let mut session = SpdySession::new(CreditMode::Off);
    let pair = session.open(80, &mut out).unwrap();
    assert!(unlimited(&mut session, pair));
    let mut nothing = Bytes::new();
    assert_eq!(session.receive(&mut nothing), Ok(None));
}
