//! Pods that go, come back, or are not ready, and clients that notice nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use sandbox::faults::Denial;
use sandbox::support::forward::Forward;
use sandbox::support::load::{Load, LoadCounts};
use sandbox::{Options, Sandbox};

use crate::start::{fwd, fwd_as, working};
use sandbox::support::pods::{a_pod, cluster, seen, uid};
use sandbox::support::{Test, answer, ask, expect_reset, send, within};

/// Answers between one event and the next.
const SOME: u64 = 50;

fn none_failed(counts: &LoadCounts, forward: &Forward) {
    let LoadCounts { answered, failed, why, .. } = counts;
    assert_eq!(
        *failed,
        0,
        "of {answered} requests; the first: {why:?}; it said {}",
        forward.said_on_stderr()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_deleted_under_load() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    let load = Load::start(port);
    let counts = within("answers", load.until(|counts| counts.answered >= SOME)).await?;
    let first = counts.last.unwrap_or_default();
    sandbox.delete("pod", "default", &first)?;
    forward.stderr(&format!("svc/api: pod {first} is terminating, new connections go to ")).await?;
    let enough = counts.answered + SOME;
    let elsewhere = |counts: &LoadCounts| counts.answered >= enough && counts.last.as_ref() != Some(&first);
    within("answers of another pod", load.until(elsewhere)).await?;
    sandbox.settled().await?;
    none_failed(&load.stop().await, &forward);
    Ok(())
}

/// What is under way at a pod that goes is answered for as long as the pod serves it.
#[tokio::test]
async fn a_deleted_pod_drains() -> Test {
    let options = Options { deletion: Duration::from_secs(3), ..Options::default() };
    let sandbox = Sandbox::start(options).await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    let first = ask(port).await?;
    let mut stream = send(port, "/slow?ms=1000").await?;
    seen(&sandbox, &first, 8080, |stats| stats.requests == 2).await?;
    sandbox.delete("pod", "default", &first)?;
    forward.stderr("is terminating, new connections go to ").await?;
    assert_ne!(ask(port).await?, first);
    assert_eq!(String::from_utf8(answer(&mut stream).await?)?.trim(), first);
    Ok(())
}

/// Where the news of a deletion come late, connections meet a sandbox that is gone, and are tried again elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_deleted_unseen() -> Test {
    let sandbox = cluster().await?;
    let mut forward = fwd_as(&sandbox, "nowatch", "svc/api :80")?;
    let port = forward.port().await?;
    let load = Load::start(port);
    let counts = within("answers", load.until(|counts| counts.answered >= SOME)).await?;
    let first = counts.last.unwrap_or_default();
    sandbox.delete("pod", "default", &first)?;
    forward.stderr("new connections go to ").await?;
    let elsewhere = |counts: &LoadCounts| counts.last.as_ref().is_some_and(|pod| *pod != first);
    within("an answer of another pod", load.until(elsewhere)).await?;
    none_failed(&load.stop().await, &forward);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_under_load() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "deploy/web :http").await?;
    let load = Load::start(port);
    within("answers", load.until(|counts| counts.answered >= SOME)).await?;
    for _ in 0..2 {
        let old: BTreeSet<_> = sandbox.ready_pods("default", "app=web")?.into_iter().collect();
        sandbox.restart("deploy", "default", "web")?;
        forward.stderr("is terminating, new connections go to ").await?;
        sandbox.settled().await?;
        let is_new = |counts: &LoadCounts| counts.last.as_ref().is_some_and(|pod| !old.contains(pod));
        within("an answer of a new pod", load.until(is_new)).await?;
    }
    none_failed(&load.stop().await, &forward);
    Ok(())
}

/// Same name, another pod: connections are held until it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_pod_comes_back() -> Test {
    let sandbox = cluster().await?;
    sandbox.scale("sts", "default", "db", 1)?;
    sandbox.settled().await?;
    let (mut forward, port) = working(&sandbox, "sts/db :8080").await?;
    let before = uid(&sandbox, "db-0")?;
    let load = Load::start(port);
    within("answers", load.until(|counts| counts.answered >= SOME)).await?;
    sandbox.delete("pod", "default", "db-0")?;
    forward
        .stderr("sts/db: waiting for a ready pod (pod db-0 is being deleted), connections are held")
        .await?;
    forward.stderr("ready again, now using the new pod db-0").await?;
    assert_ne!(uid(&sandbox, "db-0")?, before);
    seen(&sandbox, "db-0", 8080, |stats| stats.requests >= SOME).await?;
    none_failed(&load.stop().await, &forward);
    Ok(())
}

#[tokio::test]
async fn a_pod_is_not_ready() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    let first = ask(port).await?;
    sandbox.mark_ready("default", &first, false)?;
    let told = forward.stderr("is not ready, new connections go to ").await?;
    let second = ask(port).await?;
    assert_eq!(told, format!("svc/api: pod {first} is not ready, new connections go to {second}"));
    assert_ne!(first, second);
    // It is back: no reason to move again.
    sandbox.mark_ready("default", &first, true)?;
    sandbox.settled().await?;
    assert_eq!(ask(port).await?, second);
    Ok(())
}

/// A container that ends and starts again in the same sandbox: its port refuses for a while, which no client learns.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_restarts_in_place() -> Test {
    let options = Options { pod_start: Duration::from_millis(400), ..Options::default() };
    let sandbox = Sandbox::start(options).await?;
    sandbox.scale("deploy", "default", "api", 1)?;
    sandbox.settled().await?;
    let pod = a_pod(&sandbox, "api")?;
    let id = uid(&sandbox, &pod)?;
    let (forward, port) = working(&sandbox, "svc/api :80").await?;
    assert_eq!(ask(port).await?, pod);
    let requests = async {
        sandbox.wait_until("the crash", |sandbox| !sandbox.node().is_running(&id)).await?;
        // Some meet the refusal, others the news of it.
        let load = Load::start(port);
        within("answers", load.until(|counts| counts.answered >= SOME)).await?;
        Ok::<_, sandbox::support::Failure>(load.stop().await)
    };
    let (killed, counts) = tokio::join!(sandbox.kill_container("default", &pod), requests);
    killed?;
    none_failed(&counts?, &forward);
    Ok(())
}

#[tokio::test]
async fn no_pod_at_all_for_a_while() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    sandbox.scale("deploy", "default", "api", 0)?;
    forward.stderr("svc/api: waiting for a ready pod (").await?;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(send(port, "/").await?);
    }
    sandbox.settled().await?;
    sandbox.scale("deploy", "default", "api", 2)?;
    for mut stream in held {
        assert!(answer(&mut stream).await?.starts_with(b"api-"));
    }
    forward.stderr("ready again, now using pod api-").await?;
    let said = forward.end("INT").await?.stderr;
    assert_eq!(said.matches("waiting for").count(), 1, "{said}");
    assert!(said.contains("connections are held for up to 30 s"), "{said}");
    Ok(())
}

#[tokio::test]
async fn held_for_too_long() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80 --hold 1s").await?;
    sandbox.scale("deploy", "default", "api", 0)?;
    forward.stderr("connections are held for up to 1 s").await?;
    expect_reset(&mut send(port, "/").await?).await?;
    forward.stderr("svc/api: connection failed: no pod was ready within 1s").await?;
    sandbox.scale("deploy", "default", "api", 1)?;
    forward.stderr("ready again, now using pod api-").await?;
    ask(port).await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_never_starts() -> Test {
    let sandbox = cluster().await?;
    for (target, port, pod, reason) in [
        ("pod/stuck", ":8080", "stuck", "ImagePullBackOff"),
        ("svc/stuck", ":80", "stuck", "ImagePullBackOff"),
        ("svc/notready", ":80", "notready", "not ready"),
    ] {
        let mut forward = fwd(&sandbox, &format!("{target} {port} --pod-running-timeout 1s"))?;
        let told = forward.stderr("waiting for a ready pod (").await?;
        assert!(told.contains(&format!("pod {pod} is ")) && told.contains(reason), "{told}");
        let ended = forward.wait().await?;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{target}");
        let expected = format!("error: {target}: no pod was ready within 1s");
        assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches(reason).count(), 2, "{}", ended.stderr);
    }
    Ok(())
}

/// The start waits for pods as long as it says, also for one that went before it was reached.
#[tokio::test]
async fn a_pod_that_goes_before_it_is_reached() -> Test {
    let sandbox = cluster().await?;
    let full = Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward").retry_after(2);
    sandbox.faults().deny(full);
    let mut forward = fwd(&sandbox, "svc/api :80 --pod-running-timeout 3s")?;
    forward.stderr("attempt 1 of 3 in ").await?;
    sandbox.scale("deploy", "default", "api", 0)?;
    let ended = forward.wait().await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("error: svc/api: no pod was ready within 3s"), "{}", ended.stderr);
    Ok(())
}
