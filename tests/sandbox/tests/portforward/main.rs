//! The port-forward server against bytes recorded from a real cluster (`tests/data/wire`), and against the rules of PROTOCOL
//! that no transcript shows.

#![allow(clippy::unwrap_used, reason = "a test's helper fails as its test does")]

mod client;
mod framing;
mod transcript;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use kubectl_fwd::spdy::frame::{self, Frame};
use sandbox::faults::Faults;
use sandbox::node::{Node, Support, Timing};
use tokio::task::JoinSet;

use client::{Client, Peer, start};
use transcript::{Transcript, by_stream};

const PORTS: &[u16] = &[8080, 9000, 9001, 9002, 9003, 9004];

/// Timers that tests need not wait for; the transcripts are replayed with the real ones.
const QUICK: Timing = Timing {
    grace: Duration::from_millis(20),
    pair: Duration::from_millis(20),
    idle: Duration::from_secs(60),
};

async fn pod(timing: Timing) -> (Node, Peer) {
    let node = Node::new();
    node.set_timing(timing);
    node.start_pod("uid", "default", "web-79d86759df-b5kk7", PORTS).await;
    let peer = start(node.clone()).await;
    (node, peer)
}

/// Sends what the recorded client sent, when the server frames that came before it are there. The server's frames must
/// be the recorded ones.
async fn replay(name: &str) {
    let transcript = Transcript::load(name);
    let (node, peer) = pod(Timing::default()).await;
    let mut client = Client::upgrade(&peer, transcript.is_tunnel()).await;
    for step in transcript.steps() {
        if step.pod_deleted {
            node.stop_pod("uid", Duration::from_secs(1)).await;
        }
        let sent_at = Instant::now();
        client.send(&step.sent).await;
        // Frames of different streams race; each stream's own order is fixed.
        let got = client.frames(step.received.len()).await;
        assert_eq!(by_stream(&got), by_stream(&step.received), "{name}");
        // The second of grace, where the real server took it.
        if step.took > Duration::from_millis(500) {
            assert!(sent_at.elapsed() > step.took.mul_f32(0.9), "{name}: {:?}", sent_at.elapsed());
        }
    }
    if transcript.ends() {
        client.expect_end().await;
    }
}

/// Every transcript but client-rst, whose end depends on how fast a megabyte goes.
const TRANSCRIPTS: &[&str] = &[
    "app-closes-first",
    "app-resets",
    "client-half-closes",
    "goaway",
    "hello-then-server-half-close",
    "http-get",
    "pings",
    "pod-deleted",
    "refused-then-good",
    "two-pairs-interleaved",
];

#[tokio::test]
async fn the_recorded_sessions_happen_again() {
    let mut replays = JoinSet::new();
    for name in TRANSCRIPTS {
        for kind in ["tunnel", "spdy"] {
            replays.spawn(async move { replay(&format!("{name}.{kind}")).await });
        }
    }
    replays.join_all().await;
}

#[tokio::test]
async fn a_stalled_app_does_not_keep_the_socket_of_a_session_that_ended() {
    let (node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let mut out = client.pair(1, 3, 9004);
    // More than the kernel's buffers hold, and one queue: the write to the application never ends.
    let flood = 12 << 20;
    out.extend_from_slice(&frame::data_head(3, flood, false));
    out.resize(out.len() + flood, 0);
    client.send(&out).await;
    client.frames(2).await;
    node.wait_for("uid", 9004, |stats| stats.open == 1).await;
    let mut out = BytesMut::new();
    frame::put_goaway(&mut out, 0, 0);
    client.send(&out).await;
    assert!(matches!(client.frames(1).await[..], [Frame::GoAway { .. }]));
    client.expect_end().await;
}

#[tokio::test]
async fn a_blocked_queue_swallows_its_pings_and_no_others() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    // Without its SYN(error) the pair has no reader: the first frame on stream 3 blocks queue 3 (PROTOCOL §3.3).
    let mut out = client.syn(3, false, &[("streamtype", "data"), ("port", "9000"), ("requestid", "0")]);
    for _ in 0..40 {
        out.extend_from_slice(&frame::data_head(3, 1, false));
        out.extend_from_slice(b"x");
    }
    for ping in 1..=9 {
        frame::put_ping(&mut out, ping * 2 - 1);
    }
    client.send(&out).await;
    let mut echoed = Vec::new();
    for frame in client.frames(8).await {
        match frame {
            Frame::Ping { id } => echoed.push(id.div_ceil(2)),
            other => assert!(matches!(other, Frame::SynReply { stream: 3, .. }), "{other:?}"),
        }
    }
    echoed.sort_unstable();
    assert_eq!(echoed, [1, 2, 3, 5, 6, 7, 8]);
    // A full queue stops the reader: nobody's ping comes back.
    let mut out = BytesMut::new();
    for _ in 0..20 {
        out.extend_from_slice(&frame::data_head(3, 1, false));
        out.extend_from_slice(b"x");
    }
    frame::put_ping(&mut out, 19);
    client.send(&out).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn an_app_that_never_reads_blocks_its_own_queue_first() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let mut out = client.pair(1, 3, 9004);
    frame::put_ping(&mut out, 1);
    client.send(&out).await;
    assert_eq!(client.frames(3).await.len(), 3);
}

#[tokio::test]
async fn a_pair_that_lacks_its_data_stream_is_given_up() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let out = client.syn(1, false, &[("streamtype", "error"), ("port", "80"), ("requestid", "7")]);
    client.send(&out).await;
    let frames = client.frames(2).await;
    let Frame::Data { stream: 1, payload, fin: false } = &frames[1] else { panic!("{frames:?}") };
    let text = std::str::from_utf8(payload).unwrap();
    assert!(text.ends_with(", request=7) timed out waiting for streams"), "{text}");
}

#[tokio::test]
async fn bad_headers_and_ids_are_reset() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let mut out = client.syn(5, false, &[("streamtype", "error"), ("port", "0")]);
    out.unsplit(client.syn(3, false, &[("streamtype", "error"), ("port", "80")]));
    // As our client asks the reader whether it lives.
    out.unsplit(client.syn(1, true, &[]));
    out.unsplit(client.syn(7, false, &[("streamtype", "other"), ("port", "80")]));
    client.send(&out).await;
    let mut resets = client.frames(4).await;
    resets.sort_by_key(|frame| match frame {
        Frame::Reset { stream, .. } => *stream,
        other => panic!("{other:?}"),
    });
    let reset = |stream, status| Frame::Reset { stream, status };
    assert_eq!(resets, [reset(1, 1), reset(3, 1), reset(5, 5), reset(7, 5)]);
}

#[tokio::test]
async fn streams_pair_by_their_ids_without_a_request_id() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = client.syn(1, true, &[("streamtype", "error"), ("port", "9000")]);
    out.unsplit(client.syn(3, false, &[("streamtype", "data"), ("port", "9000")]));
    out.extend_from_slice(&frame::data_head(3, 2, false));
    out.extend_from_slice(b"hi");
    client.send(&out).await;
    let frames = client.frames(3).await;
    assert!(frames.contains(&Frame::Data { stream: 3, payload: "hi".into(), fin: false }), "{frames:?}");
}

#[tokio::test]
async fn an_uppercase_header_ends_the_session_with_goaway_and_an_unknown_frame_without() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let out = client.syn(1, true, &[("Streamtype", "error")]);
    client.send(&out).await;
    assert!(matches!(client.frames(1).await[..], [Frame::GoAway { .. }]));
    client.expect_end().await;

    let mut client = Client::upgrade(&peer, false).await;
    client.send(&[0x80, 3, 0, 99, 0, 0, 0, 0]).await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_idle_session_is_ended_politely() {
    let (_node, peer) = pod(Timing { idle: Duration::from_millis(50), ..Timing::default() }).await;
    let mut client = Client::upgrade(&peer, false).await;
    let out = client.pair(1, 3, 9000);
    client.send(&out).await;
    client.frames(2).await;
    let mut frames = client.frames(3).await;
    assert_eq!(frames.pop(), Some(Frame::GoAway { last_stream: 3, status: 0 }));
    assert!(frames.iter().all(|frame| matches!(frame, Frame::Reset { status: 5, .. })), "{frames:?}");
    client.expect_end().await;
}

#[tokio::test]
async fn even_pings_and_useless_frames_are_ignored() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, false).await;
    let mut out = BytesMut::new();
    frame::put_ping(&mut out, 2);
    out.extend_from_slice(&[0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0]);
    out.extend_from_slice(&[0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
    frame::put_reset(&mut out, 77, 5);
    out.extend_from_slice(&frame::data_head(77, 0, true));
    frame::put_ping(&mut out, 3);
    client.send(&out).await;
    assert_eq!(client.frames(1).await, [Frame::Ping { id: 3 }]);
}

#[tokio::test]
async fn a_tunnel_is_closed_by_the_server_only_once_the_client_stirs() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = BytesMut::new();
    frame::put_goaway(&mut out, 0, 0);
    client.send(&out).await;
    assert!(matches!(client.frames(1).await[..], [Frame::GoAway { .. }]));
    client.expect_silence().await;
    client.send(b"anything").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_killed_container_resets_and_comes_back() {
    let (node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = client.pair(1, 3, 9000);
    out.extend_from_slice(&frame::data_head(3, 2, false));
    out.extend_from_slice(b"hi");
    client.send(&out).await;
    client.frames(3).await;
    node.kill_container("uid").await;
    assert!(!node.is_running("uid"));
    let text = client.error_text(1).await;
    assert!(text.contains("connection reset by peer"), "{text}");
    let out = client.pair(5, 7, 9000);
    client.send(&out).await;
    let text = client.error_text(5).await;
    assert!(text.contains("failed to connect to localhost:9000"), "{text}");
    node.start_container("uid").await;
    let mut out = client.pair(11, 13, 9000);
    out.extend_from_slice(&frame::data_head(13, 2, false));
    out.extend_from_slice(b"hi");
    client.send(&out).await;
    assert!(client.frames(3).await.contains(&Frame::Data { stream: 13, payload: "hi".into(), fin: false }));
    assert_eq!(node.stats("uid", 9000).unwrap().connections, 2);
}

#[tokio::test]
async fn more_data_for_an_app_that_reset_ends_the_grace_at_once() {
    let (node, peer) = pod(Timing { grace: Duration::from_secs(3600), ..Timing::default() }).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = client.pair(1, 3, 9003);
    out.extend_from_slice(&frame::data_head(3, 2, false));
    out.extend_from_slice(b"hi");
    client.send(&out).await;
    client.frames(2).await;
    node.wait_for("uid", 9003, |stats| stats.connections == 1 && stats.open == 0).await;
    client.send(&[&frame::data_head(3, 2, false)[..], b"ho"].concat()).await;
    let text = client.error_text(1).await;
    assert!(text.ends_with("read: connection reset by peer"), "{text}");
}

#[tokio::test]
async fn a_request_in_flight_is_answered_when_its_pod_stops() {
    let (node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = client.pair(1, 3, 8080);
    let request = b"GET /slow?ms=100 HTTP/1.1\r\nHost: x\r\n\r\n";
    out.extend_from_slice(&frame::data_head(3, request.len(), false));
    out.extend_from_slice(request);
    client.send(&out).await;
    node.wait_for("uid", 8080, |stats| stats.requests == 1).await;
    let stopping = tokio::spawn(async move { node.stop_pod("uid", Duration::from_secs(60)).await });
    let body = client.http_body(3, "web-79d86759df-b5kk7\n".len()).await;
    assert_eq!(&body[..], b"web-79d86759df-b5kk7\n");
    stopping.await.unwrap();
}

#[tokio::test]
async fn bytes_come_whole_and_in_order() {
    let (node, peer) = pod(QUICK).await;
    for tunnel in [true, false] {
        let mut client = Client::upgrade(&peer, tunnel).await;
        let mut out = client.pair(1, 3, 8080);
        let request = b"GET /bytes?n=3000000 HTTP/1.1\r\nHost: x\r\n\r\n";
        out.extend_from_slice(&frame::data_head(3, request.len(), false));
        out.extend_from_slice(request);
        client.send(&out).await;
        let body = client.http_body(3, 3_000_000).await;
        assert!(body.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at % 251));
    }
    assert_eq!(node.stats("uid", 8080).unwrap().requests, 2);
}

#[tokio::test]
async fn after_a_reset_from_the_client_only_the_error_stream_ends() {
    let (_node, peer) = pod(QUICK).await;
    let mut client = Client::upgrade(&peer, true).await;
    let mut out = client.pair(1, 3, 8080);
    let request = b"GET /bytes?n=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    out.extend_from_slice(&frame::data_head(3, request.len(), false));
    out.extend_from_slice(request);
    client.send(&out).await;
    client.frames(3).await;
    let mut out = BytesMut::new();
    frame::put_reset(&mut out, 3, frame::STATUS_CANCEL);
    frame::put_ping(&mut out, 1);
    client.send(&out).await;
    let mut pinged = false;
    loop {
        match client.frame().await {
            Frame::Data { stream: 3, fin: false, .. } => {}
            Frame::Data { stream: 1, payload, fin: true } if payload.is_empty() => break,
            Frame::Ping { id: 1 } => pinged = true,
            other => panic!("{other:?}"),
        }
    }
    if !pinged {
        assert_eq!(client.frame().await, Frame::Ping { id: 1 });
    }
}

#[tokio::test]
async fn the_legacy_protocol_carries_data_and_errors_on_channels() {
    let (node, peer) = pod(QUICK).await;
    node.set_support(Support::LegacyOnly);
    let mut client = Client::legacy(&peer, "ports=9002").await;
    let hello: [&[u8]; 3] = [&[0, 0x2a, 0x23], &[1, 0x2a, 0x23], b"\0hello\n"];
    for message in hello {
        assert_eq!(client.message().await.unwrap(), message);
    }
    client.expect_end().await;
    let mut client = Client::legacy(&peer, "ports=7").await;
    client.message().await.unwrap();
    client.message().await.unwrap();
    let text = client.message().await.unwrap();
    assert!(text.starts_with(b"\x01error forwarding port 7 to pod "));
    client.expect_end().await;
}

/// Each answer comes so much later, in every protocol, and those that are waited for at once do not queue.
#[tokio::test]
async fn dials_take_their_time_side_by_side() {
    const TIME: Duration = Duration::from_millis(30);
    let faults = Faults::default();
    let node = Node::with_faults(&faults);
    node.start_pod("uid", "default", "web-0", PORTS).await;
    let peer = start(node.clone()).await;
    faults.dial_time(TIME);
    let begun = Instant::now();
    let tunnel = Client::upgrade(&peer, true).await;
    let spdy = Client::upgrade(&peer, false).await;
    let legacy = Client::legacy(&peer, "port=8080").await;
    assert!(begun.elapsed() >= 3 * TIME, "{:?}", begun.elapsed());
    drop((tunnel, spdy, legacy));
    // Two that are never answered, and one that is meanwhile.
    faults.dial_time(Duration::from_secs(60 * 60));
    let mut endless = JoinSet::new();
    for tunnel in [true, false] {
        endless.spawn(async move { drop(Client::upgrade(&peer, tunnel).await) });
    }
    faults.dials_are(|waiting| waiting == 2).await;
    faults.clear();
    node.sessions_are(|open| open == 0).await;
    drop(Client::upgrade(&peer, true).await);
    assert!(endless.try_join_next().is_none());
    assert_eq!(node.sessions(), 4);
    // Who gives up is waited for no longer.
    endless.shutdown().await;
    faults.dials_are(|waiting| waiting == 0).await;
    assert_eq!(node.most_sessions(), 3);
}
