//! `SIGUSR1`: a report for bugs, by whichever way the process speaks to people.

use std::path::Path;

use sandbox::support::forward::{self, Forward};
use tokio::io::AsyncWriteExt;

use crate::start::{fwd, program, working};
use sandbox::support::pods::{cluster, seen};
use sandbox::support::{Test, ask, connect, send, within};

/// What it knows of its forwards and their connections, once more each time it is asked; and all goes on.
#[tokio::test]
async fn a_report_is_asked_for() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "pod/solo :8080 --name mine").await?;
    ask(port).await?;
    let silent = connect(port).await?;
    let asking = send(port, "/slow?ms=600000").await?;
    seen(&sandbox, "solo", 8080, |stats| stats.requests == 2 && stats.connections >= 3).await?;
    for _ in 0..2 {
        forward.signal("USR1").await?;
        let head = forward.stderr("kubectl fwd ").await?;
        assert!(head.contains(": 1 forward, "), "{head}");
        #[cfg(target_os = "linux")]
        assert!(head.contains(" KiB of memory, ") && head.contains(" open files (limit "), "{head}");
        let line = forward.stderr("forward ").await?;
        assert!(
            line.contains(" -> pod/solo 8080, active since ") && line.contains(", pod solo port 8080, "),
            "{line}"
        );
        assert!(line.contains(" 0 held, 0 blocked, 3 in all, 0 failed, "), "{line}");
        forward.stderr(" waits for an answer").await?;
        forward.stderr("  pod solo in namespace default: 1 pod, 1 ready, followed").await?;
        forward.stderr("  pod default/solo: ").await?;
        forward.stderr("    session, ").await?;
        forward.stderr("end of the report").await?;
    }
    assert!(forward.said_on_stderr().contains(": 0 bytes sent, 0 bytes received, waits for either side"));
    drop((silent, asking));
    ask(port).await?;
    let ended = forward.end("INT").await?;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout.lines().count(), ended.stdout.matches("Forwarding from ").count());
    // A token is no part of it, nor where the kubeconfig is.
    let kubeconfig = sandbox.kubeconfig("admin");
    assert!(!ended.stderr.contains(&kubeconfig.display().to_string()), "{}", ended.stderr);
    assert!(sandbox.token("admin").is_none_or(|token| !ended.stderr.contains(&token)));
    Ok(())
}

/// While there is no pod and no connection to the cluster, and into a log.
#[tokio::test]
async fn a_report_of_an_outage() -> Test {
    let sandbox = cluster().await?;
    let log = sandbox.directory().join("fwd.log");
    let (forward, port) =
        working(&sandbox, &format!("svc/api :80 --timestamps --log {}", log.display())).await?;
    ask(port).await?;
    sandbox.scale("deploy", "default", "api", 0)?;
    sandbox.settled().await?;
    within("the outage", async {
        while !std::fs::read_to_string(&log).unwrap_or_default().contains("waiting for a ready pod") {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let mut held = connect(port).await?;
    held.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    // It is asked for until the connection is there.
    within("the report", async {
        loop {
            forward.signal("USR1").await?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains(", waits for a pod") && said.contains("end of the report") {
                return std::io::Result::Ok(());
            }
        }
    })
    .await??;
    let ended = forward.end("INT").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let said = std::fs::read_to_string(&log)?;
    assert!(said.lines().all(|line| line.starts_with("20")), "{said}");
    assert!(said.contains(" waiting since "), "{said}");
    Ok(())
}

/// Nobody reads what it says: it goes on.
#[tokio::test]
async fn a_report_that_nobody_reads() -> Test {
    let sandbox = cluster().await?;
    let script = format!("exec {} pod/solo :8080 2>&-", program().display());
    let mut forward = Forward::start(Path::new("sh"), &sandbox.kubeconfig("admin"), &["-c", &script])?;
    let port = forward.port().await?;
    for _ in 0..3 {
        forward.signal("USR1").await?;
        assert_eq!(ask(port).await?, "solo");
    }
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

/// Before anything works, and of one that only serves.
#[tokio::test]
async fn a_report_of_nothing() -> Test {
    let sandbox = cluster().await?;
    let mut forward = fwd(&sandbox, "pod/stuck :8080")?;
    forward.stderr("waiting for a ready pod").await?;
    forward.signal("USR1").await?;
    forward.stderr(", no pod yet, ").await?;
    forward.stderr("end of the report").await?;
    assert_eq!(forward.end("INT").await?.code, Some(130));
    let mut serve = Forward::spawn(forward::command(program(), &sandbox.kubeconfig("admin"), &["serve"]))?;
    serve.stdout("Serving on ").await?;
    serve.signal("USR1").await?;
    serve.stderr(": 0 forwards, ").await?;
    serve.stderr("end of the report").await?;
    assert_eq!(serve.end("TERM").await?.code, Some(0));
    Ok(())
}
