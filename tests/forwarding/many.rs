//! Many connections at once, and more of them than the process has descriptors for.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use sandbox::support::forward::{self, Forward};
use serde_json::Value;

use crate::start::{program, working};
use sandbox::support::pods::cluster;
use sandbox::support::{Failure, Test, answer, ask, connect, within};
use tokio::io::AsyncWriteExt;

/// Connections at once. `FWD_CONNECTIONS` sets another number, for which the system has to give three times as many
/// descriptors: the sandbox has both ends of what reaches its pods.
const CONNECTIONS: usize = 1000;

/// How many of them are begun at a time.
const AT_A_TIME: usize = 64;

/// One request on a connection that stays.
async fn again(mut stream: tokio::net::TcpStream) -> Result<tokio::net::TcpStream, Failure> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    assert_eq!(answer(&mut stream).await?, b"solo\n");
    Ok(stream)
}

/// The resident memory of a process in KiB, where the system tells.
fn memory(pid: Option<u32>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// All are there together, each is answered, and answered again once all are there.
#[tokio::test]
async fn many_connections_at_once() -> Test {
    let count = std::env::var("FWD_CONNECTIONS").ok().map_or(Ok(CONNECTIONS), |text| text.parse())?;
    rlimit::increase_nofile_limit(4 * count as u64)?;
    let sandbox = cluster().await?;
    let (forward, port) = working(&sandbox, "pod/solo :8080").await?;
    let before = memory(forward.pid());
    let open = stream::iter(0..count).map(|_| async move { again(connect(port).await?).await });
    let open: Vec<_> = open.buffer_unordered(AT_A_TIME).try_collect().await?;
    let list = forward::command(program(), &sandbox.kubeconfig("admin"), &["list", "-o", "json"]).output();
    let list: Value = serde_json::from_slice(&within("a list", list).await??.stdout)?;
    let counts = &list[0]["connections"];
    assert_eq!((&counts["open"], &counts["failed"]), (&count.into(), &0.into()), "{list}");
    let after = memory(forward.pid());
    let open: Vec<_> = stream::iter(open).map(again).buffer_unordered(AT_A_TIME).try_collect().await?;
    println!("{} connections at once; {before:?} KiB before them, {after:?} KiB with them", open.len());
    let ended = forward.end("INT").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    Ok(())
}

/// Those for which there is no descriptor wait until there is one: none is lost, it is told once, and afterwards all is as
/// before.
#[tokio::test]
async fn more_clients_than_descriptors() -> Test {
    const LIMIT: usize = 256;
    const CLIENTS: usize = 500;
    let sandbox = cluster().await?;
    let script = format!("ulimit -n {LIMIT}; exec {} pod/solo :8080", program().display());
    let mut forward = Forward::start(Path::new("sh"), &sandbox.kubeconfig("admin"), &["-c", &script])?;
    let port = forward.port().await?;
    // They come first and all at once, and hold what they have for a while.
    let mut open = Vec::new();
    for _ in 0..CLIENTS {
        open.push(connect(port).await?);
    }
    forward.stderr("no file descriptor is free").await?;
    for stream in &mut open {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
    }
    for told in join_all(open.iter_mut().map(answer)).await {
        assert_eq!(told?, b"solo\n");
    }
    drop(open);
    for _ in 0..3 {
        assert_eq!(ask(port).await?, "solo");
    }
    let ended = forward.end("INT").await?;
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
    Ok(())
}
