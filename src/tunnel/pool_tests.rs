//! A pool whose peers are in the same process and whose clock stands still unless all wait.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;

use super::*;
use crate::{
    policy::liveness::PROVEN_AFTER,
    spdy::frame::MAX_DATA,
    tunnel::{
        fake::{Pod, settled},
        stream::Inbound,
    },
};

/// Far more than any stream may have waiting.
const FLOOD: usize = 8 * 1024 * 1024;

async fn open(pool: &Pool) -> Stream {
    let stream = pool.open(80).await.unwrap();
    settled().await;
    stream
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_finds_an_idle_session() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    assert_eq!(pod.dialled(), 2, "one is there ahead of need");
    let _streams = [open(&pool).await, open(&pool).await, open(&pool).await];
    assert_eq!(pod.connections(), [1, 1, 1, 0]);
}

/// Many at once: each of the eight is shared alike, and there is no ninth.
#[tokio::test(start_paused = true)]
async fn up_to_eight_sessions_are_shared() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let mut streams = Vec::new();
    for _ in 0..80 {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [10; MAX_SESSIONS]);
    // All at once instead of one by one.
    streams.clear();
    settled().await;
    let many = futures_util::future::join_all((0..80).map(|_| pool.open(80))).await;
    settled().await;
    assert_eq!(many.iter().flatten().count(), 80);
    assert_eq!(pod.connections(), [20; MAX_SESSIONS]);
}

/// The runtime holds on to connections whose clients are gone. They take no session from anybody.
#[tokio::test(start_paused = true)]
async fn connections_that_are_only_let_go_of_are_no_load() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let mut lingering = Vec::new();
    for _ in 0..100 {
        let mut stream = open(&pool).await;
        stream.step_aside();
        lingering.push(stream);
    }
    assert_eq!(pod.dialled(), 2);
    // Not even if it was a download.
    let mut stream = open(&pool).await;
    let at = pod.connections().iter().position(|count| *count == 101).unwrap();
    pod.peer(at).floods(2 * 1024 * 1024);
    for _ in 0..32 {
        assert!(matches!(stream.incoming.recv().await, Inbound::Data(_)));
    }
    stream.step_aside();
    settled().await;
    drop(open(&pool).await);
    assert_eq!(pod.dialled(), 2);
}

#[tokio::test(start_paused = true)]
async fn beside_a_bulk_stream_nobody_is_put_while_it_runs() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let mut bulk = open(&pool).await;
    pod.peer(0).floods(2 * 1024 * 1024);
    for _ in 0..32 {
        assert!(matches!(bulk.incoming.recv().await, Inbound::Data(_)));
    }
    let mut streams = Vec::new();
    for _ in 0..70 {
        streams.push(open(&pool).await);
    }
    assert_eq!(pod.connections(), [1, 10, 10, 10, 10, 10, 10, 10]);
    // It has said nothing for a while: it is one like the others.
    tokio::time::sleep(Duration::from_secs(20)).await;
    streams.push(open(&pool).await);
    assert_eq!(pod.connections()[0], 2);
}

/// Clients that do not read: each has the session it stopped, and nobody new comes to it.
#[tokio::test(start_paused = true)]
async fn sessions_of_stalled_clients_are_retired() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let mut stalled = Vec::new();
    for index in 0..MAX_SESSIONS + MAX_RETIRED {
        stalled.push(open(&pool).await);
        assert_eq!(pod.peer(index).connections(), 1, "{index}");
        pod.peer(index).floods(FLOOD);
        settled().await;
        assert!(pod.dialled() <= index + 3, "no more than are needed");
    }
    assert_eq!(pod.dialled(), MAX_SESSIONS + MAX_RETIRED);
    // There is no other session to be had: a new connection waits, and takes the place of the first that goes.
    let waiting = pool.open(80);
    tokio::pin!(waiting);
    assert!((&mut waiting).now_or_never().is_none());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(pod.connections(), [1; MAX_SESSIONS + MAX_RETIRED]);
    stalled.remove(0);
    assert!(waiting.await.is_some());
    settled().await;
    assert_eq!(pod.peer(MAX_SESSIONS + MAX_RETIRED).connections(), 1);
    assert!(pod.peer(0).is_gone.is_cancelled());
}

/// A piece costs more than its bytes, and counts for what it costs.
#[tokio::test(start_paused = true)]
async fn small_pieces_stop_a_session_too() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let _stalled = open(&pool).await;
    pod.peer(0).trickles(100_000);
    settled().await;
    let _others: Vec<_> = [open(&pool).await, open(&pool).await, open(&pool).await].into();
    assert_eq!(pod.peer(0).connections(), 1);
}

/// It reads after all, and has everything; its session ends with it.
#[tokio::test(start_paused = true)]
async fn a_stalled_client_goes_on() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let mut stalled = open(&pool).await;
    pod.peer(0).floods(FLOOD);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut length = 0;
    while length < FLOOD {
        let Inbound::Data(bytes) = stalled.incoming.recv().await else { panic!("{length}") };
        length += bytes.len();
    }
    drop(open(&pool).await);
    assert_eq!(pod.peer(0).connections(), 1);
    assert!(!pod.peer(0).is_gone.is_cancelled());
    drop(stalled);
    pod.peer(0).is_gone.cancelled().await;
}

/// Alone on its session, a download that is given up takes it along: the runtime would go on sending.
#[tokio::test(start_paused = true)]
async fn a_bulk_download_that_is_given_up_ends_its_session() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let bulk = open(&pool).await;
    pod.peer(0).floods(2 * 1024 * 1024);
    settled().await;
    drop(bulk);
    pod.peer(0).is_gone.cancelled().await;
    settled().await;
    assert_eq!(pod.dialled(), 3, "another is there ahead of need");
    // A small one is reset, and its session stays.
    let small = open(&pool).await;
    pod.peer(1).floods(MAX_DATA);
    settled().await;
    drop(small);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!pod.peer(1).is_gone.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn without_a_further_session_those_there_are_shared() {
    let pod = Pod::default();
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
    streams.push(open(&pool).await);
    assert_eq!(pod.connections(), [6, 5, 1]);
    // All are bulk and there is no other: better to share than to wait.
    for index in 0..3 {
        pod.peer(index).floods(2 * 1024 * 1024);
    }
    settled().await;
    streams.push(open(&pool).await);
    assert_eq!(pod.connections(), [6, 5, 2]);
}

#[tokio::test(start_paused = true)]
async fn idle_extras_close_after_a_while() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let streams: Vec<_> = [open(&pool).await, open(&pool).await, open(&pool).await].into();
    let busy = open(&pool).await;
    assert_eq!(pod.dialled(), 5);
    drop(streams);
    tokio::time::sleep(LOOK * (IDLE_LOOKS - 1)).await;
    assert!((0..5).all(|index| !pod.peer(index).is_gone.is_cancelled()));
    tokio::time::sleep(LOOK * 2).await;
    let open: Vec<_> = (0..5).filter(|index| !pod.peer(*index).is_gone.is_cancelled()).collect();
    assert_eq!(open.len(), 2, "the one in use, and one ahead of need: {open:?}");
    assert!(open.contains(&3));
    drop((busy, pool));
    pod.peer(3).is_gone.cancelled().await;
    pod.tracker.close();
    pod.tracker.wait().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_over_with_its_last_session() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    pod.peer(0).hangs_up.cancel();
    settled().await;
    assert!(pool.closed().now_or_never().is_none());
    drop(open(&pool).await);
    for index in 1..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(pool.open(80).await.is_none());
    // The same where the last ones are stuck, and no other is to be had.
    let pod = Pod::default();
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
    assert_eq!(pool.closed().await, "no more");
    assert!(pool.open(80).await.is_none());
    drop(stalled);
}

/// A session that is being dialled for ever is no session: with the last real one the pool is over.
#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_does_not_keep_it() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    pod.hangs.store(true, Ordering::Relaxed);
    let _taken = [open(&pool).await, open(&pool).await];
    let waiting = pool.open(80);
    for index in 0..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(waiting.await.is_none());
    assert!(pool.open(80).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_panics_is_one_that_failed() {
    let pod = Pod::default();
    let pool = pod.pool().await;
    let _first = open(&pool).await;
    pod.panics.store(true, Ordering::Relaxed);
    // It takes the last idle session, and dials another.
    let panicked = tokio::spawn({
        let pool = pool.clone();
        async move { pool.open(80).await }
    });
    assert!(panicked.await.is_err());
    let _second = open(&pool).await;
    assert_eq!(pod.dialled(), 2, "no other is tried at once");
    tokio::time::sleep(DIAL_PAUSE).await;
    let _third = open(&pool).await;
    settled().await;
    assert_eq!(pod.dialled(), 3);
}

/// One that ends as soon as it is there is not dialled again for each new connection.
#[tokio::test(start_paused = true)]
async fn further_sessions_that_end_at_once_are_not_dialled_without_pause() {
    let pod = Pod::default();
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
    assert_eq!(pod.dialled(), before + 1);
    // With the first it is over all the same, and has proven itself.
    for index in 0..pod.dialled() {
        pod.peer(index).hangs_up.cancel();
    }
    assert_eq!(pool.closed().await, SessionEnd::Eof.to_string());
    assert!(pool.is_proven());
}
