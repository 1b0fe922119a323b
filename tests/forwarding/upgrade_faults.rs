//! Upgrades that go wrong in ways that no answer tells.

use http::{Method, StatusCode};
use sandbox::faults::{Denial, UpgradeFault};
use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::pool::resident;
use crate::start::{fwd, working};
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask, within};

const MIB: usize = 1024 * 1024;

/// At the start there is an end to it, and a word.
#[tokio::test]
async fn a_first_upgrade_is_never_answered() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upgrade_fault(UpgradeFault::Unanswered, None);
    let forward = fwd(&sandbox, "pod/solo :8080 --pod-running-timeout 1s")?;
    let ended = forward.wait().await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("error: cannot forward to pod solo\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains(" to answer (a tunnel to pod solo)\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no answer within 5 s"), "{}", ended.stderr);
    Ok(())
}

/// What is known of a refusal is told although the rest of it never comes.
#[tokio::test]
async fn a_refusal_comes_in_part() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upgrade_fault(UpgradeFault::HalfRefused, None);
    let mut forward = fwd(&sandbox, "pod/solo :8080")?;
    let told = forward.stderr(", attempt 1 of 3 in ").await?;
    assert!(told.contains("(no way to the node, as it (503)), "), "{told}");
    sandbox.faults().clear();
    forward.port().await?;
    Ok(())
}

/// A server that pings without end and reads nothing: no answers are kept for it, and a signal is heard.
#[tokio::test]
async fn a_flood_of_pings() -> Test {
    for flood in [UpgradeFault::WebSocketPings, UpgradeFault::SpdyPings] {
        let sandbox = cluster().await?;
        sandbox.faults().upgrade_fault(flood, None);
        let (forward, _) = working(&sandbox, "pod/solo :8080").await?;
        let enough = sandbox.faults().flooded_are(|bytes| bytes > 16 * MIB);
        within("a flood", enough).await?;
        #[cfg(target_os = "linux")]
        {
            let resident = resident(forward.pid().ok_or("it has ended")?)?;
            assert!(resident < 64 * MIB, "{flood:?}: {} MiB", resident / MIB);
        }
        let ended = forward.end("INT").await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{flood:?}");
    }
    Ok(())
}

/// A proxy that knows no WebSockets may answer one with anything: plain SPDY is asked before it is believed.
#[tokio::test]
async fn any_answer_to_a_websocket_leaves_plain_spdy() -> Test {
    let sandbox = cluster().await?;
    for status in [200, 204, 302, 400, 401, 403, 404, 406, 411, 415, 429, 500, 501, 503] {
        let denial = Denial::new(StatusCode::from_u16(status)?).method(&Method::GET).path("/portforward");
        for denial in [denial.clone().text("<html>no</html>"), denial.clone().text("no"), denial] {
            sandbox.faults().deny(denial);
            let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
            assert_eq!(ask(port).await?, "solo", "{status}");
            assert_eq!(forward.end("INT").await?.stderr, "", "{status}");
            sandbox.faults().clear();
        }
    }
    Ok(())
}

/// Of two refusals the one that says more is told.
#[tokio::test]
async fn the_more_telling_refusal_is_told() -> Test {
    let sandbox = cluster().await?;
    let page = Denial::new(StatusCode::FORBIDDEN).method(&Method::GET).path("/portforward");
    sandbox.faults().deny(page.text("<html>blocked</html>"));
    sandbox.faults().deny(Denial::new(StatusCode::UNAUTHORIZED).method(&Method::POST).path("/portforward"));
    let ended = fwd(&sandbox, "pod/solo :8080")?.wait().await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("because: Unauthorized (401)\n"), "{}", ended.stderr);
    Ok(())
}

/// Sessions that end as soon as they are there are attempts that failed, with their pauses; that it works again is told
/// once it does.
#[tokio::test]
async fn sessions_end_at_once() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upgrade_fault(UpgradeFault::Closed, None);
    let mut forward = fwd(&sandbox, "pod/solo :8080 -o json")?;
    let active: Value = serde_json::from_str(&forward.stdout("\"event\":\"active\"").await?)?;
    let port = active["localPort"].as_u64().and_then(|port| port.try_into().ok()).ok_or("no port")?;
    for attempt in 1..=2 {
        let told = forward.stdout(&format!("\"attempt\":{attempt},\"of\":3")).await?;
        assert!(told.contains("the server closed the connection"), "{told}");
    }
    sandbox.faults().clear();
    assert_eq!(ask(port).await?, "solo");
    forward.stdout("\"recovered\"").await?;
    let ended = forward.end("INT").await?;
    assert_eq!(ended.stdout.matches("\"reconnecting\"").count(), 2, "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("\"recovered\"").count(), 1, "{}", ended.stdout);
    Ok(())
}

/// The same counts for `--give-up`, and where the server says that it goes.
#[tokio::test]
async fn sessions_that_end_at_once_are_given_up() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upgrade_fault(UpgradeFault::GoAway, None);
    let ended = fwd(&sandbox, "pod/solo :8080 --give-up -o json")?.wait().await?;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout.matches("\"reconnecting\"").count(), 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("because: the server ended the session\n"), "{}", ended.stderr);
    let upgrades = sandbox.faults().upgrade_faults();
    assert!(upgrades <= 8, "{upgrades} upgrades, of which each attempt has two");
    Ok(())
}
