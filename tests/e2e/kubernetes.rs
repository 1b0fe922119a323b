//! The rows of Kubernetes' own end-to-end tests of port-forwarding, re-made from their description. A server in the pod sends 100
//! bytes in ten pieces, at once or after a request, and the pod's log says what it saw. Each is there twice: on every address of the
//! pod, and on its loopback address alone.

use std::sync::Arc;

use sandbox::support::load;
use sandbox::support::{Failure, Test, ask, connect, post, rest, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::legacy::LegacyWebSocket;
use crate::workspace::Workspace;

/// A server that sends without being asked, on every address and on loopback.
const UNASKED: [u16; 2] = [9006, 9016];

/// One that waits for a request of three bytes.
const ON_REQUEST: [u16; 2] = [9007, 9017];

/// What both send.
const ALL_PIECES: [u8; 100] = [b'x'; 100];

/// A body that an application which does not read it cannot have in its queues.
const UNREAD: usize = 8 << 20;

/// Requests after one whose body nobody reads.
const AFTERWARDS: usize = 20;

/// Does something with a connection to each of two ports of one pod, and then the pod has logged what was seen there.
async fn with_each(
    workspace: &Workspace,
    ports: [u16; 2],
    logged: &[&str],
    talk: impl AsyncFn(TcpStream) -> Test,
) -> Test {
    workspace.app().await?;
    let pod = workspace.pod().await?;
    let mut forward = workspace.fwd(&format!("pod/{pod} :{} :{}", ports[0], ports[1]))?;
    for port in ports {
        let local = forward.port().await?;
        talk(connect(local).await?).await?;
        let lines: Vec<_> = logged.iter().map(|line| format!("{port}: {line}")).collect();
        workspace.logged(&pod, &lines).await?;
    }
    let ended = forward.end("INT").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    Ok(())
}

pub(crate) async fn no_data_expected(workspace: Arc<Workspace>) -> Test {
    let logged = ["a client connected", "sent everything"];
    with_each(&workspace, UNASKED, &logged, async |mut stream| {
        assert_eq!(rest(&mut stream).await?, ALL_PIECES);
        Ok(())
    })
    .await
}

pub(crate) async fn data_expected_and_none_sent(workspace: Arc<Workspace>) -> Test {
    let logged = ["a client connected", "read 0 of 3 bytes"];
    with_each(&workspace, ON_REQUEST, &logged, async |mut stream| {
        stream.shutdown().await?;
        assert_eq!(rest(&mut stream).await?, b"");
        Ok(())
    })
    .await
}

pub(crate) async fn data_expected_and_sent(workspace: Arc<Workspace>) -> Test {
    let logged = ["a client connected", "read 3 of 3 bytes", "sent everything"];
    with_each(&workspace, ON_REQUEST, &logged, async |mut stream| {
        stream.write_all(b"abc").await?;
        stream.shutdown().await?;
        assert_eq!(rest(&mut stream).await?, ALL_PIECES);
        Ok(())
    })
    .await
}

/// What every version of Kubernetes serves, as its frames: the port on either channel, then data, then the end. kubectl's
/// proxy is the way to the API server, with whatever credentials the user has.
pub(crate) async fn legacy_websocket(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let pod = workspace.pod().await?;
    let mut proxy = workspace.kubectl_running("proxy --port=0")?;
    let line = proxy.stdout("Starting to serve on 127.0.0.1:").await?;
    let at = line.rsplit(':').next().unwrap_or_default().trim().parse()?;
    for port in ON_REQUEST {
        let path = format!("{}/portforward?ports={port}", workspace.path_of(&pod));
        let mut websocket = LegacyWebSocket::open(at, &path).await?;
        let number = port.to_le_bytes().to_vec();
        assert_eq!(websocket.message().await?, Some((0, number.clone())), "the data channel");
        assert_eq!(websocket.message().await?, Some((1, number)), "the error channel");
        websocket.send(0, b"abc").await?;
        let mut received = Vec::new();
        while let Some((channel, payload)) = websocket.message().await? {
            assert_eq!(channel, 0, "{}", String::from_utf8_lossy(&payload));
            received.extend(payload);
        }
        assert_eq!(received, ALL_PIECES);
        let lines = ["read 3 of 3 bytes", "sent everything"].map(|line| format!("{port}: {line}"));
        workspace.logged(&pod, &lines).await?;
    }
    Ok(())
}

/// A POST whose body is never read, by an application that answers all the same and by one that reads nothing at all, and whose
/// client goes without waiting. What follows on the same forward has to work (Kubernetes issue 74551).
pub(crate) async fn body_never_read(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("deployment/NAME :8080 :9004")?;
    let (http, deaf) = (forward.port().await?, forward.port().await?);
    ask(http).await?;
    for port in [http, deaf] {
        let mut given_up = connect(port).await?;
        let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {UNREAD}\r\n\r\n");
        given_up.write_all(head.as_bytes()).await?;
        // As much of the body as anybody takes.
        let body = vec![0; UNREAD];
        let mut sent = 0;
        while sent < UNREAD / 8 {
            match within("a part of the body to be taken", given_up.write(&body[sent..])).await? {
                Ok(n) if n > 0 => sent += n,
                _ => break,
            }
        }
        drop(given_up);
        all_answered(http).await?;
    }
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

async fn all_answered(port: u16) -> Test {
    let mut lasting = connect(port).await?;
    for _ in 0..AFTERWARDS {
        within("an answer", load::get(port, "/")).await??;
        let echoed: Result<Vec<u8>, Failure> = post(&mut lasting, "/echo", b"still here").await;
        assert_eq!(echoed?, b"still here");
    }
    Ok(())
}
