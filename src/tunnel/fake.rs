//! A pod in memory: sessions without a server, for tests whose clock stands still unless all wait.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dial::Tunnel, error::DialError, limits::Limits, pool::SessionPool, session::Session, write_queue::Framing,
};
use crate::{
    error::Transient,
    spdy::{
        frame::{self, Frame, FrameDecoder, MAX_DATA},
        header::HeaderEncoder,
        session::CreditMode,
    },
};

/// The other end of a session.
#[derive(Clone)]
pub(crate) struct FakePeer {
    /// Streams that carry data, in the order in which they came.
    opened: Arc<Mutex<Vec<u32>>>,
    /// What came on all of them.
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
    /// How many streams were finished.
    pub(crate) finished: Arc<AtomicUsize>,
    says: mpsc::UnboundedSender<PeerAction>,
    /// Cancelled, it hangs up.
    pub(crate) hangs_up: CancellationToken,
    /// The session was closed.
    pub(crate) is_gone: CancellationToken,
}

/// What a peer has to write.
enum PeerAction {
    /// These bytes, next.
    Frames(Bytes),
    /// So many zeros on a stream, in turns with those of others.
    Zeros(u32, usize),
    /// No more of them.
    Stop(u32),
}

impl FakePeer {
    fn new(io: DuplexStream, deaf: bool) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        let peer = Self {
            opened: Arc::default(),
            heard: Arc::default(),
            finished: Arc::default(),
            says,
            hangs_up: CancellationToken::new(),
            is_gone: CancellationToken::new(),
        };
        let (answering, hangs_up) = (peer.clone(), peer.hangs_up.clone());
        tokio::spawn(async move {
            if deaf {
                hangs_up.cancelled().await;
            } else {
                hangs_up.run_until_cancelled(answering.clone().answer(io, said)).await;
            }
            answering.is_gone.cancel();
        });
        peer
    }

    /// Takes every stream, echoes every ping, and answers a line `get N` with so many zeros. It hears what comes
    /// although nobody takes what it says.
    async fn answer(self, io: DuplexStream, mut said: mpsc::UnboundedReceiver<PeerAction>) {
        let (mut reader, mut writer) = tokio::io::split(io);
        let (mut decoder, mut encoder) = (FrameDecoder::default(), HeaderEncoder::default());
        let (says, mut requests) = (self.says.clone(), HashMap::<u32, Vec<u8>>::new());
        let hear = async {
            loop {
                let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
                if reader.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    return;
                }
                let mut read = read.freeze();
                while let Some(frame) = decoder.decode(&mut read).unwrap() {
                    match frame {
                        Frame::SynStream { stream, fin, .. } => {
                            frame::put_syn_reply(&mut out, &mut encoder, stream);
                            if !fin {
                                self.opened.lock().push(stream);
                            }
                        }
                        Frame::Data { stream, payload, fin } => {
                            let request = requests.entry(stream).or_default();
                            request.extend_from_slice(&payload);
                            if let Some(length) = asked(request) {
                                request.clear();
                                says.send(PeerAction::Zeros(stream, length)).unwrap();
                            }
                            self.heard.lock().extend_from_slice(&payload);
                            self.finished.fetch_add(usize::from(fin), Ordering::Relaxed);
                        }
                        Frame::Ping { id } => frame::put_ping(&mut out, id),
                        Frame::Reset { stream, .. } => says.send(PeerAction::Stop(stream)).unwrap(),
                        _ => {}
                    }
                }
                says.send(PeerAction::Frames(out.freeze())).unwrap();
            }
        };
        let say = async {
            let mut turns = VecDeque::new();
            loop {
                let next = tokio::select! {
                    biased;
                    Some(next) = said.recv() => next,
                    () = std::future::ready(()), if !turns.is_empty() => {
                        let Some((stream, length)) = turns.pop_front() else { continue };
                        let part = MAX_DATA.min(length);
                        let mut bytes = BytesMut::from(&frame::data_head(stream, part, false)[..]);
                        bytes.resize(bytes.len() + part, 0);
                        if length > part {
                            turns.push_back((stream, length - part));
                        }
                        PeerAction::Frames(bytes.freeze())
                    }
                };
                match next {
                    PeerAction::Zeros(stream, length) => turns.push_back((stream, length)),
                    PeerAction::Stop(stream) => turns.retain(|turn| turn.0 != stream),
                    PeerAction::Frames(bytes) => {
                        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = say => {}
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.opened.lock().len()
    }

    /// So many bytes on the stream that came last.
    pub(crate) fn floods(&self, length: usize) {
        self.zeros(*self.opened.lock().last().unwrap(), length);
    }

    /// The streams that carry data, in the order in which they came.
    pub(crate) fn streams(&self) -> Vec<u32> {
        self.opened.lock().clone()
    }

    /// So many bytes on a stream.
    pub(crate) fn zeros(&self, stream: u32, length: usize) {
        self.says.send(PeerAction::Zeros(stream, length)).unwrap();
    }

    /// So many bytes on the stream that came last, each in a frame of its own.
    pub(crate) fn trickles(&self, length: usize) {
        self.says_in(1, &vec![0; length], false);
    }

    /// These bytes on the stream that came last, and perhaps its end.
    pub(crate) fn says(&self, text: &[u8], fin: bool) {
        self.says_in(MAX_DATA, text, fin);
    }

    fn says_in(&self, frame: usize, text: &[u8], fin: bool) {
        let stream = *self.opened.lock().last().unwrap();
        let mut bytes = BytesMut::new();
        for part in text.chunks(frame) {
            bytes.extend_from_slice(&frame::data_head(stream, part.len(), false));
            bytes.extend_from_slice(part);
        }
        if fin {
            bytes.extend_from_slice(&frame::data_head(stream, 0, true));
        }
        self.says.send(PeerAction::Frames(bytes.freeze())).unwrap();
    }
}

/// How much a request asks for, once it is whole.
fn asked(request: &[u8]) -> Option<usize> {
    std::str::from_utf8(request.strip_prefix(b"get ")?.strip_suffix(b"\n")?).ok()?.parse().ok()
}

/// A pod and the sessions it was reached by.
#[derive(Clone, Default)]
pub(crate) struct FakePod {
    peers: Arc<Mutex<Vec<FakePeer>>>,
    pub(crate) refuses: Arc<AtomicBool>,
    pub(crate) refused: Arc<AtomicUsize>,
    /// The next dial panics.
    pub(crate) panics: Arc<AtomicBool>,
    /// Peers read nothing, from the next session on.
    pub(crate) deaf: Arc<AtomicBool>,
    /// A dial is never answered.
    pub(crate) hangs: Arc<AtomicBool>,
    /// How long one takes, in milliseconds.
    pub(crate) dial_time: Arc<AtomicU64>,
    /// Dials under way, and the most there were.
    dialling: Arc<AtomicUsize>,
    pub(crate) most_dials: Arc<AtomicUsize>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tracker: TaskTracker,
}

impl FakePod {
    pub(crate) fn session(&self) -> Session {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.peers.lock().push(FakePeer::new(far, self.deaf.load(Ordering::Relaxed)));
        Session::spawn(near, Bytes::new(), Framing::Plain, CreditMode::On, &self.limits, &self.tracker)
    }

    /// A pool to it, once its spare session is there.
    pub(crate) async fn pool(&self) -> SessionPool {
        let pod = self.clone();
        let dial = move || {
            let pod = pod.clone();
            assert!(!pod.panics.swap(false, Ordering::Relaxed), "a test wants it");
            async move {
                let now = pod.dialling.fetch_add(1, Ordering::Relaxed) + 1;
                pod.most_dials.fetch_max(now, Ordering::Relaxed);
                match pod.dial_time.load(Ordering::Relaxed) {
                    0 => tokio::task::yield_now().await,
                    time => tokio::time::sleep(Duration::from_millis(time)).await,
                }
                pod.dialling.fetch_sub(1, Ordering::Relaxed);
                if pod.hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                if pod.refuses.load(Ordering::Relaxed) {
                    pod.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(DialError { why: Transient { why: "no more".to_owned() }, refusal: None });
                }
                Ok(pod.session())
            }
            .boxed()
        };
        let pool = SessionPool::new(Box::new(dial), &self.limits, self.tracker.clone(), &self.session());
        settled().await;
        pool
    }

    pub(crate) async fn tunnel(&self) -> Tunnel {
        Tunnel::Sessions(self.pool().await)
    }

    pub(crate) fn dialled(&self) -> usize {
        self.peers.lock().len()
    }

    /// Sessions that are open.
    pub(crate) fn open(&self) -> usize {
        self.peers.lock().iter().filter(|peer| !peer.is_gone.is_cancelled()).count()
    }

    pub(crate) fn peer(&self, index: usize) -> FakePeer {
        self.peers.lock()[index].clone()
    }

    /// How many connections each session got.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.peers.lock().iter().map(FakePeer::connections).collect()
    }
}

/// Until every task waits: only then does paused time move.
pub(crate) async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
