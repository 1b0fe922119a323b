//! A pod in memory: sessions without a server, for tests whose clock stands still unless all wait.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dial::{DialError, Tunnel},
    outbox::Framing,
    pool::Pool,
    session::Session,
};
use crate::{
    error::Transient,
    spdy::{
        frame::{self, Decoder, Frame, MAX_DATA},
        header::HeaderEncoder,
    },
};

/// The other end of a session.
#[derive(Clone)]
pub(crate) struct Peer {
    /// Streams that carry data, in the order in which they came.
    opened: Arc<Mutex<Vec<u32>>>,
    /// What came on all of them.
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
    /// How many streams were finished.
    pub(crate) finished: Arc<AtomicUsize>,
    says: mpsc::UnboundedSender<Bytes>,
    /// Cancelled, it hangs up.
    pub(crate) hangs_up: CancellationToken,
    /// The session was closed.
    pub(crate) is_gone: CancellationToken,
}

impl Peer {
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

    /// Takes every stream and echoes every ping. It hears what comes although nobody takes what it says.
    async fn answer(self, io: DuplexStream, mut said: mpsc::UnboundedReceiver<Bytes>) {
        let (mut reader, mut writer) = tokio::io::split(io);
        let (mut decoder, mut encoder) = (Decoder::default(), HeaderEncoder::default());
        let says = self.says.clone();
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
                                self.opened.lock().unwrap().push(stream);
                            }
                        }
                        Frame::Data { payload, fin, .. } => {
                            self.heard.lock().unwrap().extend_from_slice(&payload);
                            self.finished.fetch_add(usize::from(fin), Ordering::Relaxed);
                        }
                        Frame::Ping { id } => frame::put_ping(&mut out, id),
                        _ => {}
                    }
                }
                says.send(out.freeze()).unwrap();
            }
        };
        let say = async {
            while let Some(bytes) = said.recv().await {
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = say => {}
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    /// So many bytes on the stream that came last.
    pub(crate) fn floods(&self, length: usize) {
        self.says(&vec![0; length], false);
    }

    /// The same, byte by byte.
    pub(crate) fn trickles(&self, length: usize) {
        self.says_in(1, &vec![0; length], false);
    }

    /// These bytes on the stream that came last, and perhaps its end.
    pub(crate) fn says(&self, text: &[u8], fin: bool) {
        self.says_in(MAX_DATA, text, fin);
    }

    fn says_in(&self, frame: usize, text: &[u8], fin: bool) {
        let stream = *self.opened.lock().unwrap().last().unwrap();
        let mut bytes = BytesMut::new();
        for part in text.chunks(frame) {
            bytes.extend_from_slice(&frame::data_head(stream, part.len(), false));
            bytes.extend_from_slice(part);
        }
        if fin {
            bytes.extend_from_slice(&frame::data_head(stream, 0, true));
        }
        self.says.send(bytes.freeze()).unwrap();
    }
}

/// A pod and the sessions it was reached by.
#[derive(Clone, Default)]
pub(crate) struct Pod {
    peers: Arc<Mutex<Vec<Peer>>>,
    pub(crate) refuses: Arc<AtomicBool>,
    pub(crate) refused: Arc<AtomicUsize>,
    /// The next dial panics.
    pub(crate) panics: Arc<AtomicBool>,
    /// Peers read nothing, from the next session on.
    pub(crate) deaf: Arc<AtomicBool>,
    /// A dial is never answered.
    pub(crate) hangs: Arc<AtomicBool>,
    pub(crate) tracker: TaskTracker,
}

impl Pod {
    pub(crate) fn session(&self) -> Session {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.peers.lock().unwrap().push(Peer::new(far, self.deaf.load(Ordering::Relaxed)));
        Session::spawn(near, Bytes::new(), Framing::Plain, true, &self.tracker)
    }

    /// A pool to it, once its spare session is there.
    pub(crate) async fn pool(&self) -> Pool {
        let pod = self.clone();
        let dial = move || {
            let pod = pod.clone();
            assert!(!pod.panics.swap(false, Ordering::Relaxed), "a test wants it");
            async move {
                // A dial takes a while.
                tokio::task::yield_now().await;
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
        let pool = Pool::new(Box::new(dial), self.tracker.clone(), &self.session());
        settled().await;
        pool
    }

    pub(crate) async fn tunnel(&self) -> Tunnel {
        Tunnel::Pool(self.pool().await)
    }

    pub(crate) fn dialled(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    pub(crate) fn peer(&self, index: usize) -> Peer {
        self.peers.lock().unwrap()[index].clone()
    }

    /// How many connections each session got.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.peers.lock().unwrap().iter().map(Peer::connections).collect()
    }
}

/// Until every task waits: only then does paused time move.
pub(crate) async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
