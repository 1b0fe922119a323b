//! Sessions that are lost, and what becomes of the connections on them.

use sandbox::Sandbox;
use sandbox::support::forward::Forward;
use tokio::io::AsyncReadExt;

use crate::start::working;
use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, ask, expect_refusal, expect_reset, send, within};

/// Waits until the forward says that it works again, and asks.
async fn recovered(forward: &mut Forward, port: u16) -> Test {
    forward.stderr("svc/api: connected to pod ").await?;
    ask(port).await?;
    Ok(())
}

/// A forward to the one pod of `api`, and that pod.
async fn one_pod(options: &str) -> Result<(Sandbox, Forward, u16, String), Failure> {
    let sandbox = cluster().await?;
    sandbox.scale("deploy", "default", "api", 1)?;
    sandbox.settled().await?;
    let pod = a_pod(&sandbox, "api")?;
    let (forward, port) = working(&sandbox, &format!("svc/api :80 {options}")).await?;
    // The spare session is there as well: a cut that comes while it is dialled may leave one of the two.
    while sandbox.node().sessions() < 2 {
        ask(port).await?;
    }
    Ok((sandbox, forward, port, pod))
}

#[tokio::test]
async fn the_api_server_restarts() -> Test {
    let (sandbox, mut forward, port, pod) = one_pod("").await?;
    ask(port).await?;
    sandbox.restart_api().await?;
    forward.stderr(&format!("svc/api: connection to pod {pod} lost (")).await?;
    recovered(&mut forward, port).await?;
    let ended = forward.end("INT").await?;
    // The connection that was answered before is over: its end is no news.
    assert!(ended.code == Some(0) && !ended.stderr.contains(" failed: "), "{}", ended.stderr);
    Ok(())
}

/// Every connection is cut, again and again. Whether a session survives, being dialled just then, is chance; the next
/// requests are answered in any case.
#[tokio::test]
async fn connections_are_cut() -> Test {
    let (sandbox, _forward, port, pod) = one_pod("").await?;
    for cut in [sandbox::faults::Faults::reset_all, sandbox::faults::Faults::close_all].repeat(2) {
        cut(sandbox.faults());
        // A request that meets the cut is reset, as it may have reached the application.
        let answered = async {
            loop {
                if let Ok(answer) = ask(port).await {
                    return answer;
                }
            }
        };
        assert_eq!(within("an answer", answered).await?, pod);
    }
    Ok(())
}

/// What was under way when the session went may have been done: its client gets a reset, and nobody asks twice.
#[tokio::test]
async fn a_request_under_way() -> Test {
    let (sandbox, mut forward, port, pod) = one_pod("").await?;
    let before = seen(&sandbox, &pod, 8080, |_| true).await?.requests;
    let mut stream = send(port, "/slow?ms=600000").await?;
    seen(&sandbox, &pod, 8080, |stats| stats.requests == before + 1).await?;
    // Nor is one being dialled ahead of need, which would be there when the others are gone.
    within("the spare sessions", sandbox.node().sessions_are(|open| open >= 3)).await?;
    sandbox.faults().reset_all();
    expect_reset(&mut stream).await?;
    let told = forward.stderr(" failed: ").await?;
    let why = "the connection to the pod was lost while a request was under way";
    assert_eq!(told, format!("svc/api: connection to pod {pod} port 8080 failed: {why}"));
    recovered(&mut forward, port).await?;
    assert_eq!(seen(&sandbox, &pod, 8080, |_| true).await?.requests, before + 2);
    Ok(())
}

/// The same for half an answer: a clean end would look like a whole one.
#[tokio::test]
async fn half_an_answer() -> Test {
    let (sandbox, _forward, port, _) = one_pod("").await?;
    let mut stream = send(port, "/bytes?n=100000000").await?;
    stream.read_exact(&mut vec![0; 100_000]).await?;
    sandbox.faults().reset_all();
    let mut rest = Vec::new();
    let read = within("the end of the answer", stream.read_to_end(&mut rest)).await?;
    let error = read.err().ok_or("half an answer ended as a whole one does")?;
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    Ok(())
}

/// Nothing is heard, and nobody says that it is over. The one slow test: a session is given 15 s.
#[tokio::test]
async fn a_black_hole() -> Test {
    let (sandbox, mut forward, port, _) = one_pod("").await?;
    ask(port).await?;
    sandbox.faults().black_hole(true);
    forward.stderr("lost (no answer for ").await?;
    sandbox.faults().black_hole(false);
    recovered(&mut forward, port).await
}

/// After a round of three attempts it is lost: connections are refused, not held, until the server is back.
#[tokio::test]
async fn the_api_server_stays_away() -> Test {
    let (sandbox, mut forward, port, _) = one_pod("").await?;
    sandbox.stop_api().await;
    // The attempts after the first tell nothing new.
    forward.stderr(", attempt 1 of 3 in ").await?;
    forward.stderr("svc/api: cluster unreachable (connection refused), retrying within ").await?;
    expect_refusal(port).await?;
    sandbox.resume_api().await?;
    recovered(&mut forward, port).await
}

#[tokio::test]
async fn giving_up() -> Test {
    let (sandbox, forward, _, pod) = one_pod("--give-up").await?;
    sandbox.stop_api().await;
    let ended = forward.wait().await?;
    assert_eq!((ended.code, ended.stderr.matches("error: ").count()), (Some(1), 1), "{}", ended.stderr);
    let expected = format!("error: cannot forward to pod {pod} of svc/api\n");
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    Ok(())
}
