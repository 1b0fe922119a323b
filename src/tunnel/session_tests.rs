use std::io;

use bytes::{Buf as _, BytesMut};
use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf},
    time::timeout,
};

use super::*;
use crate::{
    policy::placement::Load,
    spdy::frame::{self, MAX_DATA},
    tunnel::{fake::settled, stream::Chunk},
};

/// A session of plain SPDY over a transport in memory.
pub(super) fn over<IO>(io: IO, credit: CreditMode, tracker: &TaskTracker) -> Session
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Session::spawn(io, Bytes::new(), Framing::Plain, credit, &Arc::default(), tracker)
}

async fn send(stream: &Stream, bytes: &[u8]) {
    let mut chunk = Chunk::new(stream.send.permit().await);
    chunk.put(bytes);
    stream.send.send(chunk);
}

/// Room for one SYN_STREAM and a part of the next: what the transport took of a connection is known to the byte
/// (PROTOCOL §3.7).
#[tokio::test(start_paused = true)]
async fn bytes_that_the_transport_did_not_take_were_not_written() {
    for (room, written) in [(8, false), (100, false), (64 * 1024, true)] {
        let (near, mut far) = tokio::io::duplex(room);
        let tracker = TaskTracker::new();
        let session = over(near, CreditMode::On, &tracker);
        let mut stream = session.open(80, &Arc::default());
        send(&stream, b"request").await;
        settled().await;
        let mut taken = BytesMut::new();
        far.read_buf(&mut taken).await.unwrap();
        assert!(taken.remaining() <= room);
        drop(far);
        assert_eq!(stream.recv.recv().await, StreamEvent::Lost);
        assert_eq!(stream.send.data_written(), written, "{room}");
    }
}

/// A transport that panics when it is read for the second time.
struct Panics(usize);

impl AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0 += 1;
        assert!(self.0 < 2, "a test wants it");
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for Panics {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_panic_of_the_driver_is_told_to_its_streams() {
    let tracker = TaskTracker::new();
    let session = over(Panics(0), CreditMode::On, &tracker);
    let mut stream = session.open(80, &Arc::default());
    assert_eq!(session.end().wait().await, SessionEnd::Panicked);
    assert_eq!(stream.recv.recv().await, StreamEvent::Lost);
    assert!(session.is_closed());
    // Who comes later learns the same.
    assert_eq!(session.open(80, &Arc::default()).recv.recv().await, StreamEvent::Lost);
}

/// What a transport takes at a time, in the tests below.
const PIPE: usize = 64 * 1024;

/// All that came so far.
async fn so_far(far: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(1), far.read_buf(&mut bytes)).await {}
    bytes
}

/// Its pings are answered with the last of them alone (RFC 6455 §5.5.3), and its end is heard meanwhile.
#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_and_does_not_read_is_owed_one_pong() {
    const PINGS: u32 = 200_000;
    let (near, mut far) = tokio::io::duplex(PIPE);
    let tracker = TaskTracker::new();
    let session =
        Session::spawn(near, Bytes::new(), Framing::WebSocket, CreditMode::On, &Arc::default(), &tracker);
    for ping in 0..PINGS {
        far.write_all(&[&[0x89, 4], &ping.to_be_bytes()[..]].concat()).await.unwrap();
    }
    settled().await;
    let pongs = so_far(&mut far).await;
    assert!(pongs.len() <= 2 * PIPE, "{} bytes of answers were kept", pongs.len());
    let (head, payload) = pongs[pongs.len() - 10..].split_at(6);
    let last: Vec<u8> = payload.iter().zip(&head[2..]).map(|(byte, key)| byte ^ key).collect();
    assert_eq!((head[0], last.as_slice()), (0x8a, &(PINGS - 1).to_be_bytes()[..]));
    for ping in 0..PINGS {
        far.write_all(&[&[0x89, 4], &ping.to_be_bytes()[..]].concat()).await.unwrap();
    }
    drop(session);
    tracker.close();
    tracker.wait().await;
}

/// The same with pings of SPDY, where each is owed its echo.
#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_over_spdy_and_does_not_read_waits_for_its_echoes() {
    const PINGS: u32 = 400_000;
    let (near, mut far) = tokio::io::duplex(PIPE);
    let tracker = TaskTracker::new();
    let session = over(near, CreditMode::Off, &tracker);
    let mut ping = BytesMut::new();
    for id in 1..=PINGS {
        frame::put_ping(&mut ping, 2 * id);
        far.write_all(&ping.split()).await.unwrap();
    }
    settled().await;
    let echoes = so_far(&mut far).await.len();
    assert!(echoes <= QUEUE_LIMIT + 2 * PIPE, "{echoes} bytes of echoes were kept");
    drop(session);
    tracker.close();
    tracker.wait().await;
}

/// Without credit, or where the peer takes nothing at all: streams end, no others are opened, and with the last the
/// session ends, which nobody could use any more.
#[tokio::test(start_paused = true)]
async fn streams_may_go_from_a_session_whose_peer_takes_nothing() {
    let (near, _far) = tokio::io::duplex(PIPE);
    let session = over(near, CreditMode::Off, &TaskTracker::new());
    let mut streams = Vec::new();
    for _ in 0..QUEUE_LIMIT / MAX_DATA {
        let stream = session.open(80, &Arc::default());
        for _ in 0..2 {
            send(&stream, &vec![7; MAX_DATA]).await;
        }
        settled().await;
        streams.push(stream);
    }
    assert_eq!(session.occupancy().load, Load::Bulk);
    // A burst is still taken in, and what comes without end is not.
    let mut late: Vec<_> = (0..=LATE_OPENINGS).map(|_| session.open(80, &Arc::default())).collect();
    assert_eq!(late.pop().unwrap().recv.recv().await, StreamEvent::Lost);
    assert!(late[0].recv.recv().now_or_never().is_none());
    drop(late);
    // So much later that none of them counts as a bulk one any more.
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(streams);
    assert_eq!(session.end().wait().await, SessionEnd::Abandoned);
}

/// A session over `PIPE` whose process sleeps as long as no peer may be silent, before it has asked anything.
async fn slept() -> (Session, DuplexStream) {
    let (near, far) = tokio::io::duplex(PIPE);
    let session = over(near, CreditMode::On, &TaskTracker::new());
    tokio::time::sleep(liveness::PING_EVERY.saturating_sub(Duration::from_secs(1))).await;
    tokio::time::advance(liveness::DEAD_AFTER + liveness::ASLEEP).await;
    settled().await;
    (session, far)
}

/// Stopped and continued, or on a machine that was: whether the peer lives is judged by what comes from then on.
#[tokio::test(start_paused = true)]
async fn after_a_sleep_a_peer_is_asked_before_it_is_dead() {
    let (session, mut far) = slept().await;
    assert!(!session.is_closed());
    let asked = so_far(&mut far).await;
    far.write_all(&asked).await.unwrap();
    tokio::time::sleep(liveness::PING_EVERY * 2).await;
    assert!(!session.is_closed(), "it has answered");
    let (session, _far) = slept().await;
    tokio::time::sleep(liveness::PING_EVERY).await;
    assert!(matches!(session.end().wait().await, SessionEnd::Silence(_)));
}

/// What counts as a session that works.
#[tokio::test(start_paused = true)]
async fn a_session_has_to_prove_itself() {
    let open = || {
        let (near, far) = tokio::io::duplex(PIPE);
        let session = over(near, CreditMode::Off, &TaskTracker::new());
        (session.end(), session.open(80, &Arc::default()), far)
    };
    // Its peer echoes pings at once, and is heard of after a while.
    let (watch, _stream, mut far) = open();
    let mut pings = BytesMut::new();
    (0..50).for_each(|ping| frame::put_ping(&mut pings, 2 * ping + 1));
    far.write_all(&pings).await.unwrap();
    settled().await;
    assert!(!watch.is_proven());
    tokio::time::sleep(liveness::PROVEN_AFTER).await;
    assert!(!watch.is_proven(), "it only was there");
    far.write_all(&pings).await.unwrap();
    settled().await;
    assert!(watch.is_proven());
    // It has carried something.
    let (watch, _stream, mut far) = open();
    settled().await;
    far.write_all(&[&frame::data_head(7, 1, false)[..], b"x"].concat()).await.unwrap();
    settled().await;
    assert!(watch.is_proven());
}
