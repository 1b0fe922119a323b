//! An application that stops reading, and who is beside it on the same session: nobody notices (PROTOCOL §2.8).
//!
//! Over a forward that gets no more than two sessions, clients upload without end to port 9004, which accepts and never
//! reads. The sandbox's sessions are as the runtime's: five queues of fifty, and a full one stops its reader.

use std::{error::Error, path::Path, time::Duration};

use http::StatusCode;
use sandbox::{Options, Sandbox, faults::Denial, forward::Forward, load, node::Support};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

type Failure = Box<dyn Error + Send + Sync>;

/// Round trips and requests of each kind.
const TIMES: usize = 300;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

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

async fn stalled_application(support: Support) -> Result<(), Failure> {
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

    // Both sessions of the pool are there; no further one is to be had, so that the stalled share theirs with all others.
    while sandbox.node().sessions() < 2 {
        requests(http).await?;
    }
    sandbox.faults().deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward"));
    let sessions = sandbox.node().sessions();
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
    assert_eq!(sandbox.node().sessions(), sessions, "all of it is the same two sessions");
    assert_eq!(forward.said_on_stderr(), "");
    forward.end("INT").await?;
    Ok(())
}

#[tokio::test]
async fn beside_an_application_that_stops_reading_all_goes_on_in_a_tunnel() -> Result<(), Failure> {
    stalled_application(Support::Full).await
}

#[tokio::test]
async fn beside_an_application_that_stops_reading_all_goes_on_over_spdy() -> Result<(), Failure> {
    stalled_application(Support::NoTunnel).await
}
