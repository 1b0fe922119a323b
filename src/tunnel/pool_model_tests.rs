//! The pool under any order of clients that come, read, stall, wake and go, and of sessions that end.

use std::sync::atomic::Ordering;

use super::{
    tests::{MIB, ask, opened, take},
    *,
};
use crate::{
    policy::placement::REST,
    tunnel::{
        fake::{FakePod, settled},
        limits::{MAX_DIALS, MAX_SESSIONS},
        unread::UNREAD_LIMIT,
    },
};

/// What a client of the model does.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// Asks and takes the answer.
    Reads(usize),
    /// Asks and takes nothing until all is over.
    Stalls(usize),
    /// Asks, takes nothing for so many milliseconds, and then all of it.
    Wakes(usize, u64),
    /// Asks, takes nothing for so many milliseconds, and goes.
    Goes(usize, u64),
}

impl Client {
    fn any() -> Self {
        let length = [1, 1000, 100_000, MIB, 6 * MIB][fastrand::usize(..5)];
        let time = fastrand::u64(1..5000);
        match fastrand::u32(..10) {
            0..6 => Self::Reads(length),
            6 => Self::Stalls(length),
            7 | 8 => Self::Wakes(length, time),
            _ => Self::Goes(length, time),
        }
    }

    /// Tells how long a client that reads waited, unless its session was lost.
    async fn runs(self, pool: SessionPool, over: CancellationToken) -> Option<Duration> {
        let begun = Instant::now();
        let (Self::Reads(length) | Self::Stalls(length) | Self::Wakes(length, _) | Self::Goes(length, _)) =
            self;
        let mut stream = opened(&pool).await;
        ask(&stream, length).await;
        match self {
            Self::Reads(_) => return take(&mut stream, length).await.then(|| begun.elapsed()),
            Self::Stalls(_) => over.cancelled().await,
            Self::Wakes(_, time) => tokio::time::sleep(Duration::from_millis(time)).await,
            Self::Goes(_, time) => {
                tokio::time::sleep(Duration::from_millis(time)).await;
                return None;
            }
        }
        take(&mut stream, length).await;
        None
    }
}

/// Any order of clients that come, read, stall, wake and go, and of sessions that end: who reads waits for a dial and for
/// nobody, what is kept is bounded, and so is what the server is asked for.
#[tokio::test(start_paused = true)]
async fn who_reads_waits_for_nobody() {
    for seed in 0..60 {
        fastrand::seed(seed);
        let pod = FakePod::default();
        let pool = pod.pool().await;
        let dial = Duration::from_millis([0, 20, 100, 1000][fastrand::usize(..4)]);
        pod.dial_time.store(dial.as_millis() as u64, Ordering::Relaxed);
        let (over, clients) = (CancellationToken::new(), TaskTracker::new());
        let mut running = Vec::new();
        for _ in 0..fastrand::usize(20..120) {
            match fastrand::u32(..20) {
                0 => tokio::time::sleep(Duration::from_millis(fastrand::u64(..2000))).await,
                1 if seed % 2 == 0 => {
                    settled().await;
                    // One that has carried something: else the server would seem to take back what it grants.
                    let peer = pod.peer(fastrand::usize(..pod.dialled()));
                    if peer.connections() > 0 {
                        peer.hangs_up.cancel();
                    }
                }
                _ => {
                    let client = Client::any();
                    running.push((client, clients.spawn(client.runs(pool.clone(), over.clone()))));
                }
            }
            assert!(pod.limits.unread.bytes() <= UNREAD_LIMIT + MIB, "{seed}");
            assert!(pod.open() <= MAX_SESSIONS + 1, "{seed}");
        }
        // Who reads is done long before anybody wakes up, if nobody waits for those who stall.
        let mut stalled = Vec::new();
        for (client, running) in running {
            if let Client::Reads(_) = client {
                let waited = timeout(DIAL_PATIENCE * 3, running).await;
                let waited = waited.unwrap_or_else(|_| panic!("{seed}: {client:?} waits")).unwrap();
                // As many dials as are made together, one after the other.
                let limit = dial * 2 + REST * 2;
                assert!(waited.is_none_or(|waited| waited <= limit), "{seed}: {client:?} waited {waited:?}");
            } else {
                stalled.push(running);
            }
        }
        assert!(pod.most_dials.load(Ordering::Relaxed) <= MAX_DIALS);
        over.cancel();
        for running in stalled {
            timeout(DIAL_PATIENCE * 10, running).await.expect("who wakes has everything").unwrap();
        }
        settled().await;
        assert_eq!(pod.limits.unread.bytes(), 0, "{seed}");
    }
}
