//! An API server that refuses for a while, in each way it may.

use http::StatusCode;
use sandbox::faults::Denial;

use crate::start::working;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask};

#[tokio::test]
async fn new_sessions_are_refused_for_a_while() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    // It has worked: what follows is no attempt that failed.
    ask(port).await?;
    let denial = |status| Denial::new(status).path("/portforward");
    for (denial, told) in [
        // The token has expired, and a new one is there a moment later.
        (denial(StatusCode::UNAUTHORIZED), "Unauthorized (401)"),
        (
            denial(StatusCode::TOO_MANY_REQUESTS).retry_after(1),
            "too many requests, please try again later (429)",
        ),
        (denial(StatusCode::INTERNAL_SERVER_ERROR), "prevented the request from succeeding (500)"),
        (denial(StatusCode::SERVICE_UNAVAILABLE), "currently unable to handle the request (503)"),
        // A kubelet that has not heard of the pod yet.
        (denial(StatusCode::NOT_FOUND).text("pod does not exist"), "pod does not exist (404)"),
    ] {
        sandbox.faults().deny(denial);
        sandbox.faults().reset_all();
        // A further session that was just being dialled may have heard the same, and says so when the last one ends. The
        // second attempt tells nothing new.
        let line = forward.stderr(", attempt 1 of 3 in ").await?;
        assert!(line.contains(told), "{line}");
        sandbox.faults().clear();
        forward.stderr("connected to pod ").await?;
        ask(port).await?;
    }
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

/// The same before the first session: what passes is waited for.
#[tokio::test]
async fn a_first_session_is_refused_twice() -> Test {
    for status in
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE]
    {
        let sandbox = cluster().await?;
        sandbox.faults().deny(Denial::new(status).path("/portforward").times(2));
        let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
        forward.stderr(&format!("({})", status.as_u16())).await?;
        ask(port).await?;
    }
    Ok(())
}

/// Everything is refused, watches too, as with a token that is no longer good.
#[tokio::test]
async fn everything_is_unauthorized_for_a_while() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    sandbox.faults().deny(Denial::new(StatusCode::UNAUTHORIZED));
    sandbox.faults().reset_all();
    forward.stderr("(401)").await?;
    sandbox.faults().clear();
    forward.stderr("connected to pod ").await?;
    let first = ask(port).await?;
    // The watch is back as well.
    sandbox.mark_ready("default", &first, false)?;
    forward.stderr("is not ready, new connections go to ").await?;
    assert_ne!(ask(port).await?, first);
    Ok(())
}

/// The history that a watch would go on from is forgotten: it begins anew, and misses nothing.
#[tokio::test]
async fn the_watch_has_to_start_anew() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    let first = ask(port).await?;
    sandbox.stop_api().await;
    sandbox.delete("pod", "default", &first)?;
    sandbox.settled().await?;
    sandbox.compact();
    sandbox.resume_api().await?;
    forward.stderr("new connections go to ").await?;
    assert_ne!(ask(port).await?, first);
    Ok(())
}
