//! What `-v` tells, level by level.

use crate::start::fwd;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask};

#[tokio::test]
async fn connections() -> Test {
    let sandbox = cluster().await?;
    let mut forward = fwd(&sandbox, "pod/solo :8080 -v 1")?;
    let port = forward.port().await?;
    assert_eq!(ask(port).await?, "solo");
    let told = forward.stderr(" INFO connection from 127.0.0.1:").await?;
    assert!(
        told.contains(" to pod/solo:8080, pod solo port 8080: ") && told.ends_with(" s, closed"),
        "{told}"
    );
    assert!(!told.contains(": 0 bytes sent") && !told.contains(" 0 bytes received"), "{told}");
    let ended = forward.end("INT").await?;
    assert_eq!(ended.stderr.lines().count(), 1, "one line a connection: {}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn requests() -> Test {
    let sandbox = cluster().await?;
    for (level, requests, headers) in [(5, false, false), (6, true, false), (8, true, true)] {
        let mut forward = fwd(&sandbox, &format!("pod/solo :8080 -v {level}"))?;
        forward.port().await?;
        let log = forward.end("INT").await?.stderr;
        let url = format!("GET {}/api/v1/namespaces/default/pods?", sandbox.url());
        let line = log.lines().find(|line| line.contains(&url));
        assert_eq!(line.is_some(), requests, "{level}: {log}");
        assert!(
            line.is_none_or(|line| line.contains(" 200 OK in ") && line.ends_with(" milliseconds")),
            "{log}"
        );
        let upgraded = log.contains("/pods/solo/portforward 101 Switching Protocols in ");
        assert_eq!(upgraded, requests, "{level}: {log}");
        assert_eq!(log.contains("Response Headers: "), headers, "{level}: {log}");
    }
    Ok(())
}
