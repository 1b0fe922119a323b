//! API servers that are busy, slow, or answer what makes no sense, while a forward starts and while it works.

use http::StatusCode;
use sandbox::faults::{BadAnswer, Denial};

use crate::start::{fwd, working};
use sandbox::support::pods::{a_pod, cluster};
use sandbox::support::{Test, ask};

/// First reads are made again as kubectl makes them again.
#[tokio::test]
async fn first_reads_are_made_again() -> Test {
    let sandbox = cluster().await?;
    let busy = |status| Denial::new(status).retry_after(1).times(1);
    for denial in [
        busy(StatusCode::TOO_MANY_REQUESTS).path("/services/"),
        busy(StatusCode::SERVICE_UNAVAILABLE).path("/services/"),
        Denial::new(StatusCode::OK).bad_answer(BadAnswer::Reset).path("/services/").times(1),
    ] {
        sandbox.faults().deny(denial);
        let (forward, port) = working(&sandbox, "svc/api :80").await?;
        ask(port).await?;
        assert_eq!(forward.end("INT").await?.stderr, "");
    }
    Ok(())
}

/// What a start waits for is told once it takes long, and an interrupt is heard meanwhile.
#[tokio::test]
async fn a_long_wait_is_told() -> Test {
    let sandbox = cluster().await?;
    for (path, line, words) in [
        ("/services/", "svc/api :80", "to answer (svc/api)"),
        ("limit=500", "-l app=api :8080", "to answer (the pods of "),
    ] {
        sandbox.faults().deny(Denial::new(StatusCode::OK).bad_answer(BadAnswer::Silent).path(path));
        let mut forward = fwd(&sandbox, line)?;
        let told = forward.stderr("still waiting for ").await?;
        assert!(told.contains(&sandbox.url()) && told.contains(words), "{told}");
        assert_eq!(forward.end("INT").await?.code, Some(130));
        sandbox.faults().clear();
    }
    Ok(())
}

/// A list that never comes is waited for as long as a pod that never becomes ready.
#[tokio::test]
async fn a_silent_list_ends_with_the_timeout() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().deny(Denial::new(StatusCode::OK).bad_answer(BadAnswer::Silent).path("limit=500"));
    let ended = fwd(&sandbox, "svc/api :80 --pod-running-timeout 1s")?.wait().await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    for words in ["its pods could not be read within 1s", &sandbox.url(), "it does not answer"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    Ok(())
}

/// Where every watch is refused, pods are listed: one that is deleted is left all the same.
#[tokio::test]
async fn without_a_watch_that_works() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().deny(Denial::new(StatusCode::GATEWAY_TIMEOUT).text("").path("watch=true"));
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    forward.stderr("watching pods fails (504: Gateway Timeout), so they are listed again and again").await?;
    let pod = ask(port).await?;
    sandbox.delete("pod", "default", &pod)?;
    forward.stderr("new connections go to ").await?;
    assert_ne!(ask(port).await?, pod);
    Ok(())
}

/// Where the watch stands and tells nothing, a pod that the server does not know any more has the pods listed.
#[tokio::test]
async fn with_a_deaf_watch() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().deny(Denial::new(StatusCode::OK).bad_answer(BadAnswer::Deaf).path("watch=true"));
    let (mut forward, port) = working(&sandbox, "deploy/web :8080").await?;
    let pod = a_pod(&sandbox, "web")?;
    assert_eq!(ask(port).await?, pod);
    sandbox.delete("pod", "default", &pod)?;
    sandbox.settled().await?;
    sandbox.faults().reset_all();
    forward.stderr(&format!("pod {pod} is gone, new connections go to ")).await?;
    assert_ne!(ask(port).await?, pod);
    Ok(())
}
