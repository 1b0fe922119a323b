//! Upgrades that go wrong in ways that no answer tells.

use sandbox::faults::Upset;

use crate::harness::{Test, cluster, fwd};

/// At the start there is an end to it, and a word.
#[tokio::test]
async fn a_first_upgrade_is_never_answered() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upset(Upset::Unanswered, None);
    let forward = fwd(&sandbox, "pod/solo :8080 --pod-running-timeout 1s")?;
    let ended = forward.wait().await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("error: cannot forward to pod solo\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no answer within 5 s"), "{}", ended.stderr);
    Ok(())
}

/// What is known of a refusal is told although the rest of it never comes.
#[tokio::test]
async fn a_refusal_comes_in_part() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().upset(Upset::HalfRefused, None);
    let mut forward = fwd(&sandbox, "pod/solo :8080")?;
    let told = forward.stderr("(attempt 1 of 3 in ").await?;
    assert!(told.ends_with(": no way to the node, as it (503))"), "{told}");
    sandbox.faults().clear();
    forward.port().await?;
    Ok(())
}
