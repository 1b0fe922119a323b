//! With no file descriptor left.

use std::path::Path;

use sandbox::support::forward::{self, Forward};
use tokio::io::AsyncWriteExt;

use crate::start::program;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask, send, within};

/// Clients that have closed and may or may not wait for an answer give way to those that ask for one, and other processes
/// are answered meanwhile.
#[tokio::test]
async fn none_is_left_for_clients() -> Test {
    const LIMIT: usize = 48;
    let sandbox = cluster().await?;
    let kubeconfig = sandbox.kubeconfig("admin");
    let script = format!("ulimit -n {LIMIT}; exec {} pod/solo :8080", program().display());
    let mut forward = Forward::start(Path::new("sh"), &kubeconfig, &["-c", &script])?;
    let port = forward.port().await?;
    let mut waiting = Vec::new();
    for _ in 0..LIMIT {
        let mut stream = send(port, "/slow?ms=3600000").await?;
        stream.shutdown().await?;
        waiting.push(stream);
    }
    let told = format!("no file descriptor is free (this process may have {LIMIT})");
    forward.stderr(&told).await?;
    let list = within("a list", forward::command(program(), &kubeconfig, &["list", "-o", "name"]).output())
        .await??;
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    assert_eq!(String::from_utf8(list.stdout)?.lines().count(), 1);
    for _ in 0..10 {
        assert_eq!(ask(port).await?, "solo");
    }
    assert_eq!(forward.said_on_stderr().matches("no file descriptor").count(), 1, "it is said once");
    assert_eq!(forward.end("TERM").await?.code, Some(0));
    Ok(())
}
