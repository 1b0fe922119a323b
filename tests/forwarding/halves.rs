//! How one side's end reaches the other: half-closes and resets, over each of the three protocols.

use std::time::Duration;

use sandbox::Sandbox;
use sandbox::faults::PairFault;
use sandbox::node::{Support, Timing};
use sandbox::support::forward::Forward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::start::working;
use crate::traffic::{SERVERS, is_pattern};
use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, answer, ask, connect, expect_reset, rest, send, within};

/// How long the runtime gives the other direction once one has ended: short, so that whoever is cut off notices.
const GRACE: Duration = Duration::from_millis(200);

/// A forward to the one pod of `api`, port `remote`.
async fn one(support: Support, remote: &str) -> Result<(Sandbox, Forward, u16, String), Failure> {
    let sandbox = cluster().await?;
    sandbox.node().set_support(support);
    sandbox.node().set_timing(Timing { grace: GRACE, ..Timing::default() });
    sandbox.scale("deploy", "default", "api", 1)?;
    sandbox.settled().await?;
    let pod = a_pod(&sandbox, "api")?;
    let args = ["deploy/api", remote, "--address=127.0.0.1"];
    let mut forward = Forward::start(crate::start::program(), &sandbox.kubeconfig("admin"), &args)?;
    let port = forward.port().await?;
    Ok((sandbox, forward, port, pod))
}

/// A client that has said all it has to say gets the whole answer: late, large, slow, and all of these.
#[tokio::test]
async fn a_client_that_closed_its_half_gets_the_whole_answer() -> Test {
    const LENGTH: usize = 8_000_000;
    for support in SERVERS {
        let (_sandbox, forward, port, _) = one(support, ":8080").await?;
        let mut late = send(port, "/slow?ms=1500").await?;
        let mut large = send(port, &format!("/bytes?n={LENGTH}")).await?;
        let mut slow = send(port, &format!("/drip?n={LENGTH}&ms=300")).await?;
        for client in [&mut late, &mut large, &mut slow] {
            client.shutdown().await?;
        }
        is_pattern(&answer(&mut large).await?, LENGTH)?;
        is_pattern(&answer(&mut slow).await?, LENGTH)?;
        assert!(answer(&mut late).await?.starts_with(b"api-"), "{support:?}");
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// An application that has said all closes its half: the client hears it, and what it still says is no error.
#[tokio::test]
async fn a_client_hears_that_the_application_closed_its_half() -> Test {
    for support in SERVERS {
        let (_sandbox, forward, port, _) = one(support, ":9002").await?;
        let mut client = connect(port).await?;
        client.write_all(b"hello yourself\n").await?;
        assert_eq!(rest(&mut client).await?, b"hello\n", "{support:?}");
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// An application that dies in the middle of its answer: no client may take that for the end of it.
#[tokio::test]
async fn a_reset_in_mid_answer_is_a_reset() -> Test {
    for support in SERVERS {
        let (sandbox, mut forward, port, pod) = one(support, ":8080").await?;
        let mut client = send(port, "/bytes?n=1000000000").await?;
        client.read_exact(&mut vec![0; 100_000]).await?;
        let read = async {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await
        };
        let (killed, read) = tokio::join!(sandbox.kill_container("default", &pod), within("its end", read));
        killed?;
        let error = read?.err().ok_or("a part of an answer ended as the whole does")?;
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{support:?}");
        let told = forward.stderr(" failed: ").await?;
        assert!(told.ends_with("connection reset by the application"), "{support:?}: {told}");
    }
    Ok(())
}

/// So is a stream that is cut off without a word: in a session that the runtime takes for idle, for one.
#[tokio::test]
async fn a_stream_that_is_cut_off_is_a_reset() -> Test {
    for support in [Support::Full, Support::NoTunnel] {
        let (sandbox, mut forward, port, _) = one(support, ":8080").await?;
        sandbox.faults().pair_fault(PairFault::CutSilently { after: 100_000 });
        let mut client = send(port, "/bytes?n=1000000").await?;
        let mut all = Vec::new();
        let read = within("its end", client.read_to_end(&mut all)).await?;
        let error = read.err().ok_or("a part of an answer ended as the whole does")?;
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{support:?}");
        let told = forward.stderr(" failed: ").await?;
        assert!(told.ends_with("the runtime cut the connection off"), "{support:?}: {told}");
    }
    Ok(())
}

/// A client's reset ends the connection at the application, as far as the runtime lets it: by a close.
#[tokio::test]
async fn a_clients_reset_reaches_the_application() -> Test {
    for support in SERVERS {
        let (sandbox, forward, port, pod) = one(support, ":8080").await?;
        // In mid answer, and while one is waited for.
        for path in ["/bytes?n=1000000000", "/slow?ms=3600000", "/drip?n=1000000&ms=100000"] {
            let client = send(port, path).await?;
            seen(&sandbox, &pod, 8080, |stats| stats.open > 0).await?;
            client.set_zero_linger()?;
            drop(client);
            let gone = seen(&sandbox, &pod, 8080, |stats| stats.open == 0).await;
            gone.map_err(|why| format!("{support:?} {path}: {why}"))?;
        }
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// A client that has its answer and closes: the application hears of it, if after a while.
#[tokio::test]
async fn a_clients_close_reaches_the_application() -> Test {
    for support in SERVERS {
        let (sandbox, forward, port, pod) = one(support, ":8080").await?;
        ask(port).await?;
        let gone = seen(&sandbox, &pod, 8080, |stats| stats.open == 0).await;
        gone.map_err(|why| format!("{support:?}: {why}"))?;
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// What a client said before it closed arrives, all of it, although nobody answers.
#[tokio::test]
async fn a_client_says_all_and_goes() -> Test {
    const LENGTH: u64 = 3_000_000;
    for support in SERVERS {
        let (sandbox, forward, port, pod) = one(support, ":9001").await?;
        let mut client = connect(port).await?;
        client.write_all(&vec![b'x'; LENGTH as usize]).await?;
        client.shutdown().await?;
        seen(&sandbox, &pod, 9001, |stats| stats.received == LENGTH).await?;
        drop(client);
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// Many applications close as soon as their client says good-bye, with some of it unread, which is a reset: PostgreSQL
/// behind TLS does. It is no failure that anybody saw.
#[tokio::test]
async fn a_reset_at_the_good_bye_is_no_failure() -> Test {
    let sandbox = cluster().await?;
    let (forward, port) = working(&sandbox, "pod/solo :9005").await?;
    for _ in 0..20 {
        let mut client = connect(port).await?;
        client.write_all(b"select\n").await?;
        let mut answer = [0; 7];
        within("an answer", client.read_exact(&mut answer)).await??;
        client.write_all(b"quit\n").await?;
        client.write_all(b"close notify").await?;
    }
    seen(&sandbox, "solo", 9005, |stats| stats.connections == 20 && stats.open == 0).await?;
    assert_eq!(forward.end("INT").await?.stderr, "");
    Ok(())
}

/// Clients that had their answers and closed, and a container that ends while the runtime still holds on to them.
#[tokio::test]
async fn a_container_that_ends_after_its_clients_is_no_failure() -> Test {
    let sandbox = cluster().await?;
    let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
    for _ in 0..20 {
        ask(port).await?;
    }
    let before = seen(&sandbox, "solo", 8080, |stats| stats.open > 0).await?;
    sandbox.kill_container("default", "solo").await?;
    seen(&sandbox, "solo", 8080, |stats| stats.open == 0 && stats.connections >= before.connections).await?;
    let ended = forward.end("INT").await?;
    assert!(!ended.stderr.contains(" failed: "), "{}", ended.stderr);
    Ok(())
}

/// A client that has said all and waits for its answer is owed it.
#[tokio::test]
async fn a_reset_instead_of_an_answer_is_a_failure() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "pod/solo :9005").await?;
    let mut client = connect(port).await?;
    client.write_all(b"quit\n").await?;
    client.shutdown().await?;
    expect_reset(&mut client).await?;
    forward.stderr("port 9005 failed: connection reset by the application").await?;
    Ok(())
}
