//! `-o json`: what another program reads.

use serde_json::Value;

use crate::start::fwd;
use sandbox::support::pods::{a_pod, cluster};
use sandbox::support::{Failure, Test, ask, post, within};

/// The next event of this kind.
async fn next(forward: &mut sandbox::support::forward::Forward, event: &str) -> Result<Value, Failure> {
    let line = forward.stdout(&format!("\"event\":\"{event}\"")).await?;
    Ok(serde_json::from_str(&line)?)
}

#[tokio::test]
async fn the_life_of_a_forward() -> Test {
    let sandbox = cluster().await?;
    sandbox.scale("sts", "default", "db", 1)?;
    sandbox.settled().await?;
    let mut forward = fwd(&sandbox, "-o json sts/db :8080")?;
    let active = next(&mut forward, "active").await?;
    assert_eq!(
        (&active["target"], &active["pod"], &active["podPort"]),
        (&"sts/db".into(), &"db-0".into(), &8080.into())
    );
    let port = active["localPort"].as_u64().and_then(|port| port.try_into().ok()).ok_or("no port")?;
    assert_eq!(active["local"], format!("127.0.0.1:{port}"));
    assert_eq!(ask(port).await?.trim(), a_pod(&sandbox, "db")?);
    sandbox.delete("pod", "default", "db-0")?;
    // A stateful set's pod goes before its successor comes.
    let waiting = next(&mut forward, "waiting").await?;
    assert_eq!((&waiting["id"], &waiting["holdMs"]), (&active["id"], &30_000.into()));
    let again = next(&mut forward, "retargeted").await?;
    assert_eq!(
        (&again["id"], &again["from"], &again["pod"]),
        (&active["id"], &"db-0".into(), &"db-0".into())
    );
    ask(port).await?;
    let ended = forward.end("INT").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for line in ended.stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
    Ok(())
}

/// An error is the last event, and the report and the status are as they always are.
#[tokio::test]
async fn errors() -> Test {
    let sandbox = cluster().await?;
    for (line, code) in [
        // Before anything starts, and after.
        ("-o json svc/api 99999", "fwd::usage::bad_port"),
        ("-o json svc/apo 80", "fwd::target::not_found"),
        ("svc/apo 80 --output=json --quiet", "fwd::target::not_found"),
    ] {
        let plain = fwd(&sandbox, &line.replace("-o json", "").replace("--output=json", ""))?.wait().await?;
        let ended = fwd(&sandbox, line)?.wait().await?;
        let last = ended.stdout.lines().last().ok_or_else(|| format!("{line}: no event"))?;
        let error: Value = serde_json::from_str(last)?;
        assert_eq!((&error["event"], &error["code"]), (&"error".into(), &code.into()), "{line}");
        assert!(
            error["message"].as_str().is_some_and(|message| ended.stderr.contains(message)),
            "{line}: {last}"
        );
        assert!(error["help"].is_string(), "{line}");
        assert_eq!((ended.code, &ended.stderr), (plain.code, &plain.stderr), "{line}");
        assert_eq!(plain.stdout, "");
    }
    Ok(())
}

/// A program that has read enough: the forward goes on.
#[tokio::test]
async fn nobody_reads_on() -> Test {
    let sandbox = cluster().await?;
    let mut forward = fwd(&sandbox, "-o json pod/solo :8080")?;
    let active = next(&mut forward, "active").await?;
    let port = active["localPort"].as_u64().and_then(|port| port.try_into().ok()).ok_or("no port")?;
    forward.close_stdout().await;
    sandbox.kill_container("default", "solo").await?;
    within("an answer", ask(port)).await??;
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn quiet_is_quiet() -> Test {
    let sandbox = cluster().await?;
    let path = sandbox.directory().join("quiet.sock");
    let forward = fwd(&sandbox, &format!("-o json -q pod/solo unix:{}:8080", path.display()))?;
    let mut stream = within("the socket", async {
        loop {
            match tokio::net::UnixStream::connect(&path).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await?;
    assert_eq!(post(&mut stream, "/", b"").await?, b"solo\n");
    let ended = forward.end("TERM").await?;
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    Ok(())
}
