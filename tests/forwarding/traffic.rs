//! Bytes, over each of the three protocols: that all of them arrive, and that each connection ends as the other end's
//! did.

use aws_lc_rs::digest;
use sandbox::Sandbox;
use sandbox::node::Support;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::start::{fwd, working};
use sandbox::support::pods::{a_pod, cluster};
use sandbox::support::{Failure, Test, answer, ask, connect, expect_refusal, post, send, within};

/// What servers speak: new ones, those before Kubernetes 1.31, those behind a proxy that knows only WebSocket.
pub(crate) const SERVERS: [Support; 3] = [Support::Full, Support::NoTunnel, Support::LegacyOnly];

const MIB: usize = 1024 * 1024;

async fn cluster_of(support: Support) -> Result<Sandbox, Failure> {
    let sandbox = cluster().await?;
    sandbox.node().set_support(support);
    Ok(sandbox)
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn is_same(got: &[u8], sent: &[u8]) -> bool {
    let sum = |bytes| digest::digest(&digest::SHA256, bytes);
    got.len() == sent.len() && sum(got).as_ref() == sum(sent).as_ref()
}

/// Sends random bytes to an echo and reads them at the same time.
pub(crate) async fn echo<S>(stream: &mut S, seed: u64, length: usize) -> Test
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sent = random(seed, length);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut got = vec![0; length];
    let both = async { tokio::try_join!(writer.write_all(&sent), reader.read_exact(&mut got)) };
    within("the echo", both).await??;
    assert!(is_same(&got, &sent), "a byte is wrong in an echo of {length}");
    Ok(())
}

async fn upload(port: u16, seed: u64, length: usize) -> Test {
    let sent = random(seed, length);
    let answer = post(&mut connect(port).await?, "/sink", &sent).await?;
    let sum = digest::digest(&digest::SHA256, &sent);
    let answer = String::from_utf8(answer)?;
    let (counted, told) = answer.trim().split_once(' ').ok_or("no sum")?;
    assert_eq!(counted.parse(), Ok(length));
    // `Digest` writes itself with the name of its algorithm in front.
    assert_eq!(format!("{sum:?}"), format!("SHA256:{told}"));
    Ok(())
}

async fn download(port: u16, length: usize) -> Test {
    is_pattern(&answer(&mut send(port, &format!("/bytes?n={length}")).await?).await?, length)
}

pub(crate) fn is_pattern(got: &[u8], length: usize) -> Test {
    assert_eq!(got.len(), length);
    let wrong = got.iter().enumerate().find(|(at, byte)| usize::from(**byte) != at % 251);
    wrong.map_or(Ok(()), |(at, _)| Err(format!("byte {at} is wrong").into()))
}

/// 200 connections at once, both ways: three of 16 MiB, nine of 2 MiB, the rest up to 128 KiB.
async fn bulk(support: Support) -> Test {
    let sandbox = cluster_of(support).await?;
    let mut forward = fwd(&sandbox, "--address 127.0.0.1 svc/api :80 :9000")?;
    let (http, raw) = (forward.port().await?, forward.port().await?);
    let mut all = JoinSet::new();
    for seed in 0..200 {
        let length = match seed {
            0..3 => 16 * MIB,
            3..12 => 2 * MIB,
            _ => fastrand::Rng::with_seed(seed).usize(1..128 * 1024),
        };
        all.spawn(async move {
            match seed % 3 {
                0 => echo(&mut connect(raw).await?, seed, length).await,
                1 => upload(http, seed, length).await,
                _ => download(http, length).await,
            }
        });
    }
    while let Some(one) = all.join_next().await {
        if let Err(failure) = one? {
            return Err(format!("{failure}; it said {}", forward.said_on_stderr()).into());
        }
    }
    assert_eq!(forward.end("INT").await?.stderr, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_over_the_tunnel() -> Test {
    bulk(Support::Full).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_over_spdy() -> Test {
    bulk(Support::NoTunnel).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_over_the_legacy_protocol() -> Test {
    bulk(Support::LegacyOnly).await
}

/// What fails with one connection is told once, with pod and port, and is no other connection's concern.
#[tokio::test]
async fn one_connection_fails_and_others_live() -> Test {
    for (support, remote, why) in SERVERS.into_iter().flat_map(|support| {
        [
            (support, 7777, "connection refused: nothing listens on port 7777 in the pod"),
            (support, 9003, "connection reset by the application"),
        ]
    }) {
        let sandbox = cluster_of(support).await?;
        sandbox.scale("deploy", "default", "api", 1)?;
        sandbox.settled().await?;
        let pod = a_pod(&sandbox, "api")?;
        let line = format!("--address 127.0.0.1 deploy/api :9000 :{remote}");
        let mut forward = fwd(&sandbox, &line)?;
        let (echoing, failing) = (forward.port().await?, forward.port().await?);
        let mut other = connect(echoing).await?;
        echo(&mut other, 1, 1000).await?;
        expect_refusal(failing).await.map_err(|why| format!("{support:?} {remote}: {why}"))?;
        let told = forward.stderr("failed").await?;
        assert_eq!(told, format!("deploy/api: connection to pod {pod} port {remote} failed: {why}"));
        echo(&mut other, 2, 100_000).await?;
        echo(&mut connect(echoing).await?, 3, 1000).await?;
        let ended = forward.end("INT").await?;
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    Ok(())
}

/// A client that reads nothing for a while gets every byte when it does. What it leaves behind is less than what a
/// session keeps for it, so that others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader() -> Test {
    for support in SERVERS {
        let sandbox = cluster_of(support).await?;
        let (_forward, port) = working(&sandbox, "svc/api :80").await?;
        let mut slow = send(port, "/bytes?n=4000000").await?;
        slow.readable().await?;
        for _ in 0..20 {
            ask(port).await?;
        }
        is_pattern(&answer(&mut slow).await?, 4_000_000)?;
        // Far more than anybody keeps: the session waits for its client, and others wait with it at worst.
        let mut slower = send(port, "/bytes?n=33554432").await?;
        slower.readable().await?;
        let other = tokio::spawn(async move { ask(port).await });
        is_pattern(&answer(&mut slower).await?, 32 * MIB)?;
        other.await??;
    }
    Ok(())
}

/// An application that takes nothing holds up its own client, and others no more than the runtime's queues must: while
/// they have room for what was sent, everybody else is served.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_never_reads() -> Test {
    for support in SERVERS {
        let sandbox = cluster_of(support).await?;
        let mut forward = fwd(&sandbox, "--address 127.0.0.1 deploy/api :8080 :9004")?;
        let (http, deaf) = (forward.port().await?, forward.port().await?);
        let mut stalled = connect(deaf).await?;
        within("room for a mebibyte", stalled.write_all(&random(1, MIB))).await??;
        for _ in 0..20 {
            ask(http).await?;
        }
        drop(stalled);
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}
