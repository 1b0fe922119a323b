//! An application that stops reading, and who is beside it on the same session: nobody notices (PROTOCOL §2.8).
//!
//! Over a forward that gets no more than two sessions, or as many as it wants, clients upload without end to port 9004,
//! which accepts and never reads. The sandbox's sessions are as the runtime's: five queues of fifty, and a full one stops
//! its reader. And over one that answers pings in another order, or has its credit switched off: that is then as any
//! forward is.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use http::StatusCode;
use sandbox::{
    Options, Sandbox,
    faults::{Denial, Pings},
    node::Support,
    support::{
        forward::{self, Forward},
        load,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

type Failure = Box<dyn Error + Send + Sync>;

/// Round trips and requests of each kind.
const TIMES: usize = 300;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// Bytes more than the session and the sockets on the way hold.
const FLOOD: usize = 64 * 1024 * 1024;

/// Without a byte more for this long, an upload is stalled.
const STALLED: Duration = Duration::from_millis(500);

async fn connect(port: u16) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that uploads until no more is taken.
async fn flood(port: u16) -> Result<TcpStream, Failure> {
    let mut stream = connect(port).await?;
    let (chunk, mut taken) = (vec![b'x'; 64 * 1024], 0);
    while let Ok(written) = timeout(STALLED, stream.write(&chunk)).await {
        taken += written?;
        if taken > FLOOD {
            return Err("the application reads".into());
        }
    }
    Ok(stream)
}

/// Round trips on one connection.
async fn echoes(port: u16) -> Result<(), Failure> {
    let mut stream = connect(port).await?;
    for number in 0..TIMES {
        let said = (number as u64).to_be_bytes();
        let mut heard = [0; 8];
        let round = async {
            stream.write_all(&said).await?;
            stream.read_exact(&mut heard).await
        };
        timeout(PATIENCE, round).await.map_err(|_| format!("echo {number} did not come"))??;
        assert_eq!(heard, said);
    }
    Ok(())
}

/// Requests, each on a connection of its own.
async fn requests(port: u16) -> Result<(), Failure> {
    for number in 0..TIMES {
        let answer = timeout(PATIENCE, load::get(port, "/")).await;
        answer.map_err(|_| format!("request {number} was not answered"))??;
    }
    Ok(())
}

/// Bytes uploaded to an application that reads; the last are answered.
async fn upload(port: u16) -> Result<(), Failure> {
    let body = vec![b'y'; 16 * 1024 * 1024];
    let mut stream = connect(port).await?;
    let head = format!("POST /sink HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    let answered = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, answered).await.map_err(|_| "the upload was not answered")??;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Ok(())
}

/// How many sessions are to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sessions {
    Two,
    AsMany,
}

async fn stalled_application(support: Support, sessions: Sessions) -> Result<(), Failure> {
    let sandbox = Sandbox::start(Options::default()).await?;
    sandbox.node().set_support(support);
    let program = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let pods = sandbox.ready_pods("default", "app=api")?;
    let target = format!("pod/{}", pods.first().ok_or("no pod is ready")?);
    let args = [&target, ":9004", ":9000", ":8080", "--address=127.0.0.1"];
    let mut forward = Forward::start(program, &sandbox.kubeconfig("admin"), &args)?;
    let mut ports = [0; 3];
    for port in &mut ports {
        *port = forward.port().await?;
    }
    let [stalled, echo, http] = ports;

    if sessions == Sessions::Two {
        // No further one is to be had, so that the stalled share theirs with all others.
        let both = timeout(PATIENCE, sandbox.node().sessions_are(|open| open == 2)).await;
        both.map_err(|_| "there is no spare session")?;
        sandbox.faults().deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward"));
    }
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(flood(stalled).await?);
        tokio::try_join!(echoes(echo), requests(http))?;
    }
    upload(http).await?;

    clients.clear();
    echoes(echo).await?;
    requests(http).await?;
    upload(http).await?;
    let most = if sessions == Sessions::Two { 2 } else { 32 };
    assert!(sandbox.node().sessions() <= most, "{} sessions", sandbox.node().sessions());
    assert_eq!(forward.said_on_stderr(), "");
    forward.end("INT").await?;
    Ok(())
}

#[tokio::test]
async fn beside_an_application_that_stops_reading_all_goes_on_in_a_tunnel() -> Result<(), Failure> {
    stalled_application(Support::Full, Sessions::Two).await
}

#[tokio::test]
async fn beside_an_application_that_stops_reading_all_goes_on_over_spdy() -> Result<(), Failure> {
    stalled_application(Support::NoTunnel, Sessions::Two).await
}

#[tokio::test]
async fn applications_that_stop_reading_over_several_sessions() -> Result<(), Failure> {
    stalled_application(Support::Full, Sessions::AsMany).await?;
    stalled_application(Support::NoTunnel, Sessions::AsMany).await
}

/// Uploads and echoes over a forward in this environment: how many pings the first upload took, and how many are due
/// in its time to keep the sessions alive, five each 5 s.
async fn pings(sandbox: &Sandbox, credit: Option<&str>) -> Result<(u64, u64), Failure> {
    let program = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let pods = sandbox.ready_pods("default", "app=api")?;
    let target = format!("pod/{}", pods.first().ok_or("no pod is ready")?);
    let args = [&target, ":9000", ":8080", "--address=127.0.0.1"];
    let mut command = forward::command(program, &sandbox.kubeconfig("admin"), &args);
    command.envs(credit.map(|credit| ("KUBECTL_FWD_CREDIT", credit)));
    let mut forward = Forward::spawn(command)?;
    let (echo, http) = (forward.port().await?, forward.port().await?);
    let (before, begun) = (sandbox.node().pings(), Instant::now());
    upload(http).await?;
    let pings = sandbox.node().pings() - before;
    let due = 5 * sandbox.node().open_sessions() as u64 * (begun.elapsed().as_secs() / 5 + 1);
    echoes(echo).await?;
    requests(http).await?;
    upload(http).await?;
    assert_eq!(forward.end("INT").await?.stderr, "");
    Ok((pings, due))
}

#[tokio::test]
async fn credit_can_be_switched_off() -> Result<(), Failure> {
    let sandbox = Sandbox::start(Options::default()).await?;
    // One proof at least for each six of its 256 frames.
    let (on, _) = pings(&sandbox, None).await?;
    assert!(on >= 40, "{on}");
    let (off, due) = pings(&sandbox, Some("off")).await?;
    assert!(off <= due, "{off} pings, of which {due} to keep alive");
    Ok(())
}

/// A server that handles no queues as supposed: what it says proves nothing, and is not waited for.
#[tokio::test]
async fn where_pings_come_back_in_another_order_there_is_no_credit() -> Result<(), Failure> {
    for support in [Support::Full, Support::NoTunnel] {
        let sandbox = Sandbox::start(Options::default()).await?;
        sandbox.node().set_support(support);
        sandbox.faults().pings(Pings::Swapped);
        pings(&sandbox, None).await?;
        // All in one queue, before what was sent before them: they prove nothing either, and stop nothing.
        sandbox.faults().pings(Pings::AtOnce);
        pings(&sandbox, None).await?;
    }
    Ok(())
}

/// Connections that a forward has open, by its own account.
async fn open_connections(sandbox: &Sandbox) -> Result<u64, Failure> {
    let program = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let mut list = forward::command(program, &sandbox.kubeconfig("admin"), &["list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&list.output().await?.stdout)?;
    listed[0]["connections"]["open"].as_u64().ok_or_else(|| format!("no connections in {listed}").into())
}

/// Without credit an application that does not read stops its session for good. Its client may go all the same, and the
/// session, which could not even be told, goes with it: others are answered.
#[tokio::test]
async fn without_credit_a_stalled_client_may_go() -> Result<(), Failure> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let program = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let args = ["pod/solo", ":9004", "--address=127.0.0.1"];
    let mut command = forward::command(program, &sandbox.kubeconfig("admin"), &args);
    command.env("KUBECTL_FWD_CREDIT", "off");
    let mut forward = Forward::spawn(command)?;
    let port = forward.port().await?;
    let client = flood(port).await?;
    assert_eq!(open_connections(&sandbox).await?, 1);
    client.set_zero_linger()?;
    drop(client);
    let gone = async {
        while open_connections(&sandbox).await? > 0 {}
        Ok::<_, Failure>(())
    };
    timeout(PATIENCE, gone).await.map_err(|_| "its end is not noticed")??;
    assert_eq!(forward.end("INT").await?.stderr, "");
    Ok(())
}
