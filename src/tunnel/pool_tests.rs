//! A pool whose peers are in the same process and whose clock stands still unless all wait.

use std::sync::atomic::Ordering;

use futures_util::{FutureExt as _, future::join_all};

use super::*;
use crate::{
    policy::{
        liveness::PROVEN_AFTER,
        placement::{REST, STALLED},
    },
    tunnel::{
        fake::{FakePod, settled},
        limits::{MAX_DIALS, MAX_SESSIONS},
        stream::{Chunk, StreamEvent},
        unread::UNREAD_LIMIT,
    },
};

pub(super) const MIB: usize = 1024 * 1024;

/// Far more than any stream may have waiting.
const FLOOD: usize = 8 * MIB;

pub(super) async fn opened(pool: &SessionPool) -> Stream {
    pool.open(80, &Arc::default()).await.unwrap()
}

async fn open(pool: &SessionPool) -> Stream {
    let stream = opened(pool).await;
    settled().await;
    stream
}

/// Asks the pod for so many bytes.
pub(super) async fn ask(stream: &Stream, length: usize) {
    let mut chunk = Chunk::new(stream.send.permit().await);
    chunk.put(format!("get {length}\n").as_bytes());
    stream.send.send(chunk);
}

/// Takes so many bytes; false where the session is lost before.
pub(super) async fn take(stream: &mut Stream, length: usize) -> bool {
    let mut taken = 0;
    while taken < length {
        match stream.recv.recv().await {
            StreamEvent::Data(bytes) => taken += bytes.len(),
            StreamEvent::Lost => return false,
            other => panic!("{other:?} after {taken} bytes of {length}"),
        }
    }
    assert_eq!(taken, length);
    true
}

/// Four connections on two sessions, for no other is to be had. The first two share one, and the last two the other.
async fn two_that_share(pod: &FakePod, pool: &SessionPool, blocked: &Gauge) -> [Stream; 4] {
    pod.refuses.store(true, Ordering::Relaxed);
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(pool.open(80, blocked).await.unwrap());
        settled().await;
    }
    assert_eq!(pod.connections(), [2, 2]);
    let with_first = (1..4).find(|&at| streams[at].is_with(&streams[0])).unwrap();
    streams.swap(1, with_first);
    streams.try_into().unwrap()
}

/// Until all that is open is at rest.
async fn rested() {
    tokio::time::sleep(REST * 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_finds_an_idle_session() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    assert_eq!(pod.dialled(), SPARES, "they are there ahead of need");
    let _streams = [open(&pool).await, open(&pool).await, open(&pool).await];
    assert_eq!(pod.connections(), [1, 1, 1, 0, 0]);
}

/// Each has its own up to a number of them, and those that are at rest have company then.
#[tokio::test(start_paused = true)]
async fn connections_share_once_there_are_many() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let mut streams = Vec::new();
    for _ in 0..OWN_SESSIONS {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [1; OWN_SESSIONS]);
    rested().await;
    for _ in 0..OWN_SESSIONS {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [2; OWN_SESSIONS]);
    // Where an answer is due, nobody comes to share.
    for stream in &streams {
        ask(stream, 0).await;
    }
    rested().await;
    streams.push(open(&pool).await);
    assert_eq!(pod.dialled(), OWN_SESSIONS + 1);
}

/// A burst waits for one dial, for they are made together, as many as the process may make.
#[tokio::test(start_paused = true)]
async fn a_burst_has_its_sessions_after_one_dial() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.dial_time.store(100, Ordering::Relaxed);
    let begun = Instant::now();
    let burst: Vec<_> = join_all((0..SPARES + MAX_DIALS).map(|_| opened(&pool))).await;
    assert!(begun.elapsed() < Duration::from_millis(110), "{:?}", begun.elapsed());
    settled().await;
    assert!(pod.connections().iter().all(|connections| *connections <= 1));
    assert_eq!(pod.most_dials.load(Ordering::Relaxed), MAX_DIALS);
    // As many as that are kept ready when they are gone.
    drop(burst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begun, dialled) = (Instant::now(), pod.dialled());
    let _burst = join_all((0..MAX_SPARES).map(|_| opened(&pool))).await;
    assert_eq!((begun.elapsed(), pod.dialled()), (Duration::ZERO, dialled));
}

/// Those that came before have what comes free before those that come later.
#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_turn() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let first = [open(&pool).await, open(&pool).await, open(&pool).await, open(&pool).await];
    pod.dial_time.store(500, Ordering::Relaxed);
    let _idle = [opened(&pool).await, opened(&pool).await];
    let mut waiting = Box::pin(opened(&pool));
    assert!((&mut waiting).now_or_never().is_none());
    drop(first);
    // All four are free, and one is spoken for.
    let _three = [opened(&pool).await, opened(&pool).await, opened(&pool).await];
    assert!(opened(&pool).now_or_never().is_none());
    assert!(waiting.now_or_never().is_some());
}

/// The runtime holds on to connections whose clients are gone. They take no session from anybody.
#[tokio::test(start_paused = true)]
async fn connections_that_are_only_let_go_of_are_no_load() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let mut lingering = Vec::new();
    for _ in 0..100 {
        let mut stream = open(&pool).await;
        stream.half_closed();
        lingering.push(stream);
    }
    assert!(pod.dialled() <= SPARES + 1);
    // Not even if it was a download.
    let mut stream = open(&pool).await;
    let at = pod.connections().iter().position(|count| *count == 101).unwrap();
    pod.peer(at).floods(2 * MIB);
    assert!(take(&mut stream, 2 * MIB).await);
    stream.half_closed();
    settled().await;
    drop(open(&pool).await);
    assert!(pod.dialled() <= SPARES + 1);
}

/// With no other session to be had, a transfer is kept to itself for as long as it lasts.
#[tokio::test(start_paused = true)]
async fn beside_a_transfer_nobody_is_put_while_there_is_another() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.refuses.store(true, Ordering::Relaxed);
    let mut bulk = open(&pool).await;
    pod.peer(0).floods(2 * MIB);
    assert!(take(&mut bulk, 2 * MIB).await);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [1, 10]);
    // It has said nothing for a while: it is one like the others.
    tokio::time::sleep(Duration::from_secs(30)).await;
    streams.push(open(&pool).await);
    assert_eq!(pod.connections()[0], 2);
}

/// Clients that do not read: each has the session it stopped, and nobody comes to it.
#[tokio::test(start_paused = true)]
async fn nobody_comes_to_a_client_that_does_not_read() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let mut stalled = Vec::new();
    // The first session of a pod is not among those that are counted.
    for _ in 0..=MAX_SESSIONS {
        let begun = Instant::now();
        let stream = opened(&pool).await;
        assert!(begun.elapsed() <= REST * 2, "{} waits {:?}", stalled.len(), begun.elapsed());
        ask(&stream, FLOOD).await;
        settled().await;
        stalled.push(stream);
        let most = stalled.len() + SPARES;
        assert!(pod.dialled() <= most.max(OWN_SESSIONS), "no more than are needed");
    }
    assert_eq!(pod.connections(), [1; MAX_SESSIONS + 1]);
    // There is no other session to be had: a new connection waits, and takes the place of the first that goes.
    let mut waiting = Box::pin(opened(&pool));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err());
    assert_eq!(pod.connections(), [1; MAX_SESSIONS + 1]);
    stalled.remove(7);
    assert!(waiting.await.recv.recv().now_or_never().is_none());
    settled().await;
    assert_eq!(pod.peer(MAX_SESSIONS + 1).connections(), 1);
    assert!(pod.peer(7).is_gone.is_cancelled());
}

/// A piece costs more than its bytes, and counts for what it costs.
#[tokio::test(start_paused = true)]
async fn small_pieces_stop_a_session_too() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let _stalled = open(&pool).await;
    pod.peer(0).trickles(100_000);
    settled().await;
    let _others: Vec<_> = [open(&pool).await, open(&pool).await, open(&pool).await].into();
    assert_eq!(pod.peer(0).connections(), 1);
}

/// It reads after all, and has everything; then its session is one like the others.
#[tokio::test(start_paused = true)]
async fn a_stalled_client_goes_on() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let mut stalled = open(&pool).await;
    pod.peer(0).floods(FLOOD);
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(open(&pool).await);
    assert_eq!(pod.peer(0).connections(), 1);
    assert!(take(&mut stalled, FLOOD).await);
    assert_eq!(pod.limits.unread.bytes(), 0);
    drop(stalled);
    pod.peer(0).is_gone.cancelled().await;
}

/// A transfer that shares its session with a client that does not read goes on, although its bytes come seldom beside
/// those of the other.
#[tokio::test(start_paused = true)]
async fn a_slow_transfer_beside_a_client_that_does_not_read_goes_on() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let [stalled, mut slow, _third, _fourth] = two_that_share(&pod, &pool, &Arc::default()).await;
    let at = pod.connections().iter().position(|connections| *connections == 2).unwrap();
    let slow_id = pod.peer(at).streams()[1];
    pod.peer(at).zeros(slow_id, 100_000);
    assert!(take(&mut slow, 100_000).await);
    for _ in 0..5 {
        // More than any turn of another stream.
        ask(&stalled, 3 * MIB).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        pod.peer(at).zeros(slow_id, 40_000);
        assert!(timeout(Duration::from_secs(1), take(&mut slow, 40_000)).await.is_ok_and(|all| all));
    }
    assert!(pod.limits.unread.bytes() > 12 * MIB);
}

/// With company it is reset, and nobody comes to its session while more of it does; with the last of the company it ends.
#[tokio::test(start_paused = true)]
async fn after_a_bulk_download_that_is_given_up_a_session_is_left() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let [bulk, company, _third, _fourth] = two_that_share(&pod, &pool, &Arc::default()).await;
    ask(&bulk, 2 * MIB).await;
    settled().await;
    drop(bulk);
    settled().await;
    let newcomer = opened(&pool).await;
    assert!(!newcomer.is_with(&company));
    drop(company);
    pod.peer(0).is_gone.cancelled().await;
}

/// Alone on its session, a download that is given up takes it along: the runtime would go on sending.
#[tokio::test(start_paused = true)]
async fn a_bulk_download_that_is_given_up_ends_its_session() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let bulk = open(&pool).await;
    pod.peer(0).floods(2 * MIB);
    settled().await;
    drop(bulk);
    pod.peer(0).is_gone.cancelled().await;
    // A small one is reset, and its session stays.
    let small = open(&pool).await;
    let at = pod.connections().iter().rposition(|connections| *connections == 1).unwrap();
    pod.peer(at).floods(1024);
    settled().await;
    drop(small);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!pod.peer(at).is_gone.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn without_a_further_session_those_there_are_shared() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.refuses.store(true, Ordering::Relaxed);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [5, 5]);
    assert_eq!(pod.refused.load(Ordering::Relaxed), 1, "it is not asked again at once");
    tokio::time::sleep(DIAL_PAUSE).await;
    pod.refuses.store(false, Ordering::Relaxed);
    streams.push(open(&pool).await);
    pod.refuses.store(true, Ordering::Relaxed);
    assert_eq!(pod.connections()[..3], [5, 5, 1]);
    while streams.len() < 10 + pod.dialled() - 2 {
        streams.push(open(&pool).await);
    }
    // All are bulk and there is no other: better to share than to wait.
    let before: usize = pod.connections().iter().sum();
    for index in 0..pod.dialled() {
        pod.peer(index).floods(2 * MIB);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    streams.push(open(&pool).await);
    assert_eq!(pod.connections().iter().sum::<usize>(), before + 1);
}

/// A dial that hangs costs a connection some of its patience, and those after it none.
#[tokio::test(start_paused = true)]
async fn beside_a_dial_that_hangs_those_there_are_shared() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.hangs.store(true, Ordering::Relaxed);
    let _taken = [opened(&pool).await, opened(&pool).await];
    let begun = Instant::now();
    let _waited = opened(&pool).await;
    assert!(begun.elapsed() <= DIAL_PATIENCE + REST, "{:?}", begun.elapsed());
    let begun = Instant::now();
    let _shared = opened(&pool).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn idle_extras_close_after_a_while() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let streams: Vec<_> = [open(&pool).await, open(&pool).await, open(&pool).await].into();
    let busy = open(&pool).await;
    assert_eq!(pod.dialled(), 4 + SPARES);
    drop(streams);
    tokio::time::sleep(IDLE_CHECK_INTERVAL * (MAX_IDLE_CHECKS - 1)).await;
    assert_eq!(pod.open(), 4 + SPARES);
    tokio::time::sleep(IDLE_CHECK_INTERVAL * 2).await;
    assert_eq!(pod.open(), 2, "the one in use, and one ahead of need");
    assert!(!pod.peer(3).is_gone.is_cancelled());
    drop((busy, pool));
    pod.peer(3).is_gone.cancelled().await;
    pod.tracker.close();
    pod.tracker.wait().await;
}

/// Those that share a session with a client that does not read have what comes for them as long as there is memory for what
/// comes before it. Then they wait, and are counted.
#[tokio::test(start_paused = true)]
async fn who_shares_with_a_client_that_does_not_read_goes_on_for_a_while() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let blocked = Arc::default();
    let [stalled, mut other, _third, _fourth] = two_that_share(&pod, &pool, &blocked).await;
    let other = &mut other;
    ask(&stalled, 1024 * MIB).await;
    settled().await;
    let mut answers = 0;
    let news = pod.limits.blocked();
    tokio::pin!(news);
    loop {
        ask(other, 1000).await;
        if timeout(Duration::from_secs(1), take(other, 1000)).await.is_err() {
            break;
        }
        answers += 1;
        assert!(pod.limits.unread.bytes() <= UNREAD_LIMIT + MIB);
    }
    assert!(answers > 20, "{answers} answers");
    assert!(pod.limits.unread.is_spent());
    assert_eq!(blocked.load(Ordering::Relaxed), 1);
    assert!(news.as_mut().now_or_never().is_some(), "it is told");
    let news = pod.limits.blocked();
    drop(stalled);
    assert!(take(other, 1000).await);
    assert_eq!((blocked.load(Ordering::Relaxed), pod.limits.unread.bytes()), (0, 0));
    news.await;
}

#[tokio::test(start_paused = true)]
async fn it_is_over_with_its_last_session() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.peer(0).hangs_up.cancel();
    settled().await;
    assert!(pool.closed().now_or_never().is_none());
    drop(open(&pool).await);
    for index in 1..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(pool.open(80, &Arc::default()).await.is_none());
    // Where clients that do not read have the last ones, and no other is to be had, it is of no use to a newcomer.
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let stalled = [open(&pool).await, open(&pool).await];
    tokio::time::sleep(PROVEN_AFTER * 2).await;
    pod.refuses.store(true, Ordering::Relaxed);
    for index in 0..pod.dialled() {
        if pod.peer(index).connections() == 0 {
            pod.peer(index).hangs_up.cancel();
        } else {
            pod.peer(index).floods(FLOOD);
        }
    }
    tokio::time::sleep(STALLED * 2).await;
    assert!(pool.open(80, &Arc::default()).await.is_none());
    assert!(pool.closed().now_or_never().is_none());
    drop(stalled);
}

/// A session that is being dialled for ever is no session: with the last real one the pool is over.
#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_does_not_keep_it() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.hangs.store(true, Ordering::Relaxed);
    let _taken = [open(&pool).await, open(&pool).await];
    let blocked = Arc::default();
    let waiting = pool.open(80, &blocked);
    for index in 0..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(waiting.await.is_none());
    assert!(pool.open(80, &Arc::default()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_panics_is_one_that_failed() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let _first = open(&pool).await;
    let before = pod.dialled();
    pod.panics.store(true, Ordering::Relaxed);
    // It takes an idle session, and dials another.
    let panicked = tokio::spawn({
        let pool = pool.clone();
        async move { pool.open(80, &Arc::default()).await }
    });
    assert!(panicked.await.is_err());
    let _second = open(&pool).await;
    assert_eq!(pod.dialled(), before, "no other is tried at once");
    tokio::time::sleep(DIAL_PAUSE).await;
    let _third = open(&pool).await;
    assert!(pod.dialled() > before);
}

/// One that ends as soon as it is there is not dialled again for each new connection.
#[tokio::test(start_paused = true)]
async fn further_sessions_that_end_at_once_are_not_dialled_without_pause() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    let _first = open(&pool).await;
    pod.peer(0).says(b"x", false);
    settled().await;
    assert!(pool.is_proven());
    for index in 1..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    settled().await;
    let before = pod.dialled();
    let _streams = [open(&pool).await, open(&pool).await];
    assert_eq!(pod.dialled(), before);
    tokio::time::sleep(DIAL_PAUSE).await;
    let _stream = open(&pool).await;
    settled().await;
    assert!(pod.dialled() > before);
    // With the first it is over all the same, and has proven itself.
    for index in 0..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(pool.is_proven());
}
