//! What the sandbox does with a port that is passed on: to clients it is the pod's, to its end.

use std::net::{Ipv4Addr, SocketAddr};

use sandbox::support::forward::Forward;
use sandbox::support::{Failure, Test, answer, connect, expect_reset, pods, rest, send, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::behind::Behind;

/// The port of the pods.
const PORT: u16 = 7000;

/// A connection of a client with a process of this machine, by way of a forward and a pod.
struct Passed {
    behind: Behind,
    client: TcpStream,
    process: TcpStream,
    /// It forwards until it is dropped.
    _forward: Forward,
}

async fn connection() -> Result<Passed, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let behind = Behind::start(&[(PORT, listener.local_addr()?)]).await?;
    let (forward, port) = behind.forward(PORT).await?;
    let mut client = connect(port).await?;
    client.write_all(b"hello").await?;
    let (mut process, _) = within("a connection at the process", listener.accept()).await??;
    let mut greeting = [0; 5];
    within("a greeting", process.read_exact(&mut greeting)).await??;
    assert_eq!(&greeting, b"hello");
    Ok(Passed { behind, client, process, _forward: forward })
}

#[tokio::test]
async fn bytes_and_the_end_arrive() -> Test {
    let Passed { behind, mut client, mut process, _forward } = connection().await?;
    process.write_all(b"goodbye").await?;
    drop(process);
    assert_eq!(rest(&mut client).await?, b"goodbye");
    let stats =
        pods::seen(&behind.world.sandbox, &behind.serving(PORT)?, PORT, |stats| stats.open == 0).await?;
    assert_eq!((stats.received, stats.sent, stats.connections), (5, 7, 1));
    Ok(())
}

/// The process ends its connection by a reset, as one that dies; the client sees the same.
#[tokio::test]
async fn a_reset_arrives() -> Test {
    let Passed { behind: _behind, mut client, process, _forward } = connection().await?;
    process.set_zero_linger()?;
    drop(process);
    expect_reset(&mut client).await
}

/// A client that goes is gone at the process.
#[tokio::test]
async fn a_client_goes() -> Test {
    let Passed { behind: _behind, client, mut process, _forward } = connection().await?;
    drop(client);
    assert_eq!(within("the end", process.read(&mut [0; 8])).await??, 0);
    Ok(())
}

/// The pod is gone, so its connections are, though the process is there still.
#[tokio::test]
async fn a_deleted_pod_takes_its_connections_along() -> Test {
    let Passed { behind, mut client, mut process, _forward } = connection().await?;
    behind.world.sandbox.force_delete("pod", "default", &behind.serving(PORT)?)?;
    let ends = within("the client's end", client.read(&mut [0; 8])).await?;
    assert!(!matches!(ends, Ok(read) if read > 0), "{ends:?}");
    let ends = within("the process's end", process.read(&mut [0; 8])).await?;
    assert!(!matches!(ends, Ok(read) if read > 0), "{ends:?}");
    Ok(())
}

/// The container dies, which resets its connections, and comes back.
#[tokio::test]
async fn a_killed_container_resets_its_connections() -> Test {
    let Passed { behind, mut client, process: _process, _forward } = connection().await?;
    behind.world.sandbox.kill_container("default", &behind.serving(PORT)?).await?;
    expect_reset(&mut client).await
}

/// Nobody listens where the port is passed on to. The pod's other ports are its own.
#[tokio::test]
async fn there_is_no_process() -> Test {
    let nowhere: SocketAddr = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        listener.local_addr()?
    };
    let behind = Behind::start(&[(PORT, nowhere)]).await?;
    let mut forward = behind.world.start(&format!("deploy/app :{PORT} :8080"))?;
    let (broken, works) = (forward.port().await?, forward.port().await?);
    let mut client = connect(broken).await?;
    expect_reset(&mut client).await?;
    let name = answer(&mut send(works, "/").await?).await?;
    assert!(name.starts_with(b"app-"), "{name:?}");
    Ok(())
}
