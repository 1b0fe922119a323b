//! A pool whose peers fall silent, on a clock that stands still unless all wait.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::{
    policy::liveness::{DEAD_AFTER, PING_EVERY, PROBE_TIMEOUT, SILENT_AFTER},
    tunnel::{
        fake::{FakePod, settled},
        pool::SessionPool,
    },
};

/// A pool whose peers read nothing, and say nothing.
async fn deaf() -> (FakePod, SessionPool) {
    let pod = FakePod::default();
    pod.deaf.store(true, Ordering::Relaxed);
    let pool = pod.pool().await;
    assert_eq!(pod.dialled(), 2);
    (pod, pool)
}

/// Another session is dialled before any is dead, and who comes meanwhile waits for that.
#[tokio::test(start_paused = true)]
async fn a_silent_session_is_replaced() {
    let (pod, pool) = deaf().await;
    let begun = Instant::now();
    pod.deaf.store(false, Ordering::Relaxed);
    pool.silent().await;
    assert!((SILENT_AFTER..DEAD_AFTER).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let _stream = pool.open(80, &std::sync::Arc::default()).await.unwrap();
    settled().await;
    assert!(pod.dialled() > 2);
    assert_eq!(pod.connections()[..2], [0, 0]);
    pool.speaks().now_or_never().expect("it has a session that is not silent");
    assert!(begun.elapsed() < DEAD_AFTER);
}

/// Once there is another pod, nobody waits for this one, and it is not dialled any more.
#[tokio::test(start_paused = true)]
async fn a_deserted_pool_takes_nobody() {
    let (pod, pool) = deaf().await;
    pod.hangs.store(true, Ordering::Relaxed);
    pool.silent().await;
    let (gauge, waiter) = (std::sync::Arc::default(), pool.clone());
    let waiting = tokio::spawn(async move { waiter.open(80, &gauge).await.is_none() });
    settled().await;
    assert!(!waiting.is_finished());
    pool.desert();
    assert!(waiting.await.unwrap());
    // Its sessions, and those that still use them, go on until they are dead.
    assert!(pool.closed().now_or_never().is_none());
    assert!(pool.closed().await.starts_with("no answer for "));
}

/// After a disturbance each peer is asked at once. One that answers is used as before; one that does not is dead in time.
#[tokio::test(start_paused = true)]
async fn a_disturbance_has_every_peer_asked() {
    let pod = FakePod::default();
    let pool = pod.pool().await;
    pod.limits.disturb();
    settled().await;
    assert!(pool.silent().now_or_never().is_none(), "it has answered");
    tokio::time::sleep(PROBE_TIMEOUT + PING_EVERY).await;
    assert_eq!(pod.open(), pod.dialled());

    let (pod, pool) = deaf().await;
    pod.deaf.store(false, Ordering::Relaxed);
    pod.limits.disturb();
    settled().await;
    let (begun, dialled) = (Instant::now(), pod.dialled());
    assert!(dialled > 2, "others are dialled at once");
    pool.speaks().await;
    assert!(begun.elapsed() < Duration::from_millis(10));
    tokio::time::sleep(PROBE_TIMEOUT).await;
    settled().await;
    let live = pool.inner.state.lock().slots.iter().filter(|slot| !slot.session.is_closed()).count();
    assert_eq!(live, dialled - 2, "those that did not answer are dead");
}
