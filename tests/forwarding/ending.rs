//! How it ends: by signal, with what is under way, with which status, and what does not end it.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::Sandbox;
use sandbox::support::forward::Forward;
use tokio::io::AsyncWriteExt;

use crate::start::{fwd, program, working};
use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, answer, ask, connect, expect_reset, post, rest, send, within};

/// Resolves when the port refuses.
async fn refused(port: u16) {
    while connect(port).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_under_way_is_finished() -> Test {
    for signal in ["INT", "TERM"] {
        let sandbox = cluster().await?;
        let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
        let mut stream = send(port, "/slow?ms=1000").await?;
        seen(&sandbox, "solo", 8080, |stats| stats.requests == 1).await?;
        forward.signal(signal).await?;
        within("new connections to be refused", refused(port)).await?;
        assert_eq!(answer(&mut stream).await?, b"solo\n", "{signal}");
        assert_eq!(rest(&mut stream).await?, b"", "{signal}");
        let ended = forward.wait().await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{signal}");
    }
    Ok(())
}

/// What would take longer than two seconds is not waited for.
#[tokio::test]
async fn what_takes_too_long_is_cut() -> Test {
    let sandbox = cluster().await?;
    let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
    let mut stream = send(port, "/bytes?n=1000000000").await?;
    stream.readable().await?;
    let begun = Instant::now();
    let reading = tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
    assert_eq!(forward.end("INT").await?.code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let read = within("the end of the download", reading).await??;
    assert!(read.is_err() || read.is_ok_and(|bytes| bytes > 1_000_000_000), "a cut download looks whole");
    Ok(())
}

/// On a Unix socket, too, where only Linux can tell: to a client that has asked for something.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_cut_on_a_unix_socket() -> Test {
    let sandbox = cluster().await?;
    let path = sandbox.directory().join("solo.sock");
    let mut forward = fwd(&sandbox, &format!("pod/solo unix:{}:8080", path.display()))?;
    forward.stdout("Forwarding from unix:").await?;
    let mut whole = tokio::net::UnixStream::connect(&path).await?;
    assert_eq!(post(&mut whole, "/", b"").await?, b"solo\n");
    assert_eq!(post(&mut whole, "/", b"").await?, b"solo\n");
    let mut cut = tokio::net::UnixStream::connect(&path).await?;
    cut.write_all(b"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    cut.readable().await?;
    assert_eq!(forward.end("INT").await?.code, Some(0));
    let read = within("the end", tokio::io::copy(&mut cut, &mut tokio::io::sink())).await?;
    assert_eq!(read.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    // Nothing was under way there.
    assert_eq!(rest(&mut whole).await?, b"");
    Ok(())
}

#[tokio::test]
async fn interrupted_before_it_worked() -> Test {
    let sandbox = cluster().await?;
    for signal in ["INT", "TERM"] {
        let mut forward = fwd(&sandbox, "pod/stuck :8080")?;
        forward.stderr("waiting for a ready pod").await?;
        let ended = forward.end(signal).await?;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""), "{signal}");
    }
    Ok(())
}

/// A terminal that closes, and whatever else sends a hang-up, leaves nothing behind.
#[tokio::test]
async fn a_hang_up_ends_it_in_order() -> Test {
    let sandbox = cluster().await?;
    let (socket, ready) = (sandbox.directory().join("api.sock"), sandbox.directory().join("ready"));
    let line = format!("svc/api unix:{}:80 --ready-file {}", socket.display(), ready.display());
    let forward = fwd(&sandbox, &line)?;
    within("the ready file", async {
        while !ready.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let ended = forward.end("HUP").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(!ready.exists() && !socket.exists());
    assert_eq!(std::fs::read_dir(sandbox.directory().join("kubectl-fwd"))?.count(), 0);
    Ok(())
}

/// Started to outlive its terminal, as `nohup` does it, it does.
#[tokio::test]
async fn a_hang_up_that_was_ignored_at_the_start() -> Test {
    let sandbox = cluster().await?;
    let script = format!("trap '' HUP; exec {} svc/api :80", program().display());
    let mut forward = Forward::start(Path::new("sh"), &sandbox.kubeconfig("admin"), &["-c", &script])?;
    let port = forward.port().await?;
    forward.signal("HUP").await?;
    // Heard, it would refuse the second one at the latest.
    ask(port).await?;
    ask(port).await?;
    assert_eq!(forward.end("TERM").await?.code, Some(0));
    Ok(())
}

/// A second signal ends the waiting for what is under way, and it came to the same.
#[tokio::test]
async fn interrupted_twice() -> Test {
    let sandbox = cluster().await?;
    for (first, second) in [("INT", "INT"), ("TERM", "INT"), ("INT", "HUP")] {
        let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
        let requests = a_stat(&sandbox).await?;
        let mut stream = send(port, "/slow?ms=600000").await?;
        seen(&sandbox, "solo", 8080, |stats| stats.requests > requests).await?;
        forward.signal(first).await?;
        within("new connections to be refused", refused(port)).await?;
        let ended = forward.end(second).await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{first}, {second}");
        expect_reset(&mut stream).await?;
    }
    Ok(())
}

/// Requests that the application has seen.
async fn a_stat(sandbox: &Sandbox) -> Result<u64, Failure> {
    Ok(seen(sandbox, "solo", 8080, |_| true).await?.requests)
}

/// Somebody took the line that was wanted and closed the pipe: `kubectl fwd ... | head -1`.
#[tokio::test]
async fn nobody_reads_stdout() -> Test {
    let sandbox = cluster().await?;
    sandbox.scale("sts", "default", "db", 0)?;
    sandbox.settled().await?;
    let path = sandbox.directory().join("db.sock");
    let mut forward = fwd(&sandbox, &format!("sts/db unix:{}:8080 svc/api :80", path.display()))?;
    let port = forward.port().await?;
    forward.stderr("sts/db: waiting for a ready pod").await?;
    forward.close_stdout().await;
    sandbox.scale("sts", "default", "db", 1)?;
    let mut stream = tokio::net::UnixStream::connect(&path).await?;
    assert_eq!(post(&mut stream, "/", b"").await?, b"db-0\n");
    ask(port).await?;
    assert!(!a_pod(&sandbox, "db")?.is_empty());
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

/// A script that has closed what it does not want to see, and a disk that is full: the forward goes on, and what can be told
/// is told.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_can_be_written_to() -> Test {
    for (redirected, told) in [
        (">&-", false),
        ("2>&-", false),
        (">&- 2>&-", false),
        (">/dev/full", false),
        ("2>/dev/full", false),
        (">/dev/full 2>&1", false),
        // What of it is lost is counted on the other.
        (">/dev/full", true),
    ] {
        let sandbox = cluster().await?;
        let path = sandbox.directory().join("solo.sock");
        let line = format!("pod/solo unix:{}:8080 svc/api :80", path.display());
        let script = format!("exec {} {line} {redirected}", program().display());
        let mut forward = Forward::start(Path::new("sh"), &sandbox.kubeconfig("admin"), &["-c", &script])?;
        let mut stream = within("the forward", async {
            loop {
                if let Ok(stream) = tokio::net::UnixStream::connect(&path).await {
                    return stream;
                }
                tokio::task::yield_now().await;
            }
        })
        .await?;
        assert_eq!(post(&mut stream, "/", b"").await?, b"solo\n", "{redirected}");
        // Something to say, on stderr.
        let pod = a_pod(&sandbox, "api")?;
        sandbox.delete("pod", "default", &pod)?;
        sandbox.settled().await?;
        if told {
            forward.stderr("new connections go to ").await?;
        }
        assert_eq!(post(&mut stream, "/", b"").await?, b"solo\n", "{redirected}");
        assert_eq!(forward.end("INT").await?.code, Some(0), "{redirected}");
    }
    Ok(())
}

/// The reader of stderr is gone, as with `2> >(head -1)`: what is still to be told is told to nobody.
#[tokio::test]
async fn nobody_reads_stderr() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/api :80").await?;
    forward.close_stderr().await;
    for _ in 0..2 {
        let pod = ask(port).await?;
        sandbox.delete("pod", "default", &pod)?;
        within("another pod", async { while ask(port).await.is_ok_and(|now| now == pod) {} }).await?;
    }
    ask(port).await?;
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}
