//! nginx: HTTP/1.1, HTTP/2 without TLS, and WebSockets through its proxy.

use std::net::TcpStream;

use sandbox::support::{Failure, Test, within};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tungstenite::Message;

use super::behind::Behind;
use super::programs;
use super::running::{begin, end, run, run_with};
use super::servers::nginx::{LARGE, Nginx, SMALL, large};

const PORT: u16 = 80;
const HTTP2: u16 = 81;

/// Small files that are asked for on one connection.
const FILES: usize = 200;

async fn behind(nginx: &Nginx) -> Result<Behind, Failure> {
    Behind::start(&[(PORT, nginx.server.address), (HTTP2, nginx.http2)]).await
}

/// Files, large and small, in whole and in part, by both versions of HTTP; many on one connection.
#[tokio::test(flavor = "multi_thread")]
async fn files() -> Test {
    let Some([curl]) = programs::find(["curl"]) else { return Ok(()) };
    let Some(nginx) = Nginx::start().await? else { return Ok(()) };
    let behind = behind(&nginx).await?;
    let mut forward = behind.world.start(&format!("svc/app :{PORT} :{HTTP2}"))?;
    let (http1, http2) = (forward.port().await?, forward.port().await?);
    let whole = large();
    let curl = |words: &[&str], port: u16, path: &str| {
        let mut command = Command::new(&curl);
        command.args(["-q", "--silent", "--show-error", "--fail", "--noproxy", "*"]);
        command.args(words).arg(format!("http://127.0.0.1:{port}/{path}"));
        command
    };
    for (version, port) in [("--http1.1", http1), ("--http2-prior-knowledge", http2)] {
        let got = run_with(&mut curl(&[version], port, "large"), Vec::new()).await?;
        assert!(got == whole, "{version}: {} bytes came, not those that were sent", got.len());
        let got =
            run_with(&mut curl(&[version, "--range", "1000000-3000000"], port, "large"), Vec::new()).await?;
        assert!(got == whole[1_000_000..=3_000_000], "{version}: another range came, of {}", got.len());
        let got = run_with(&mut curl(&[version, "--range", "-1"], port, "large"), Vec::new()).await?;
        assert_eq!(got, whole[LARGE - 1..]);
    }
    // A connection is made for the first of them. (curl 7.88, with HTTP/2 without TLS, fails at a second request anywhere.)
    let each = ["--write-out", "%{num_connects}\n"];
    let got = run(&mut curl(&each, http1, &format!("small?[1-{FILES}]"))).await?;
    assert_eq!(got, format!("{SMALL}1\n") + &format!("{SMALL}0\n").repeat(FILES - 1));
    let at_once = ["--parallel", "--parallel-immediate", "--parallel-max", "20"];
    let got = run(&mut curl(&at_once, http1, &format!("small?[1-{FILES}]"))).await?;
    assert_eq!(got, SMALL.repeat(FILES));
    Ok(())
}

/// Requests without pause: on connections that stay, then a new one for each while the pod is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn requests_without_pause() -> Test {
    let Some([wrk]) = programs::find(["wrk"]) else { return Ok(()) };
    let Some(nginx) = Nginx::start().await? else { return Ok(()) };
    let behind = behind(&nginx).await?;
    let (mut forward, port) = behind.forward(PORT).await?;
    let wrk = |words: &[&str]| {
        let mut command = Command::new(&wrk);
        command.args(["--threads", "2", "--connections", "16", "--timeout", "30s"]).args(words);
        command.arg(format!("http://127.0.0.1:{port}/small"));
        command
    };
    let report = run(&mut wrk(&["--duration", "1s"])).await?;
    none_failed(&report);
    // For longer than it can take; it is told to end.
    let load = begin(&mut wrk(&["--duration", "10m", "--header", "Connection: close"]))?;
    behind.delete_in_the_middle(&mut forward, PORT, 100).await?;
    let pid =
        load.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())).ok_or("wrk ended")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    none_failed(&end("wrk", load).await?);
    Ok(())
}

/// wrk tells of failures where there were any.
fn none_failed(report: &str) {
    assert!(report.contains("Requests/sec:"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
}

/// Messages of all sizes come back, from a server behind a proxy behind a pod.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket() -> Test {
    let Some(nginx) = Nginx::start().await? else { return Ok(()) };
    let behind = behind(&nginx).await?;
    let (_forward, port) = behind.forward(PORT).await?;
    let talk = spawn_blocking(move || -> Test {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/socket"), stream)
            .map_err(|error| error.to_string())?;
        for number in 0..100 {
            let message = Message::text(format!("message {number}"));
            socket.send(message.clone())?;
            assert_eq!(socket.read()?, message);
        }
        let bytes = large();
        for size in [0, 1, 125, 126, 65_535, 65_536, 2_000_000] {
            let message = Message::binary(bytes[..size].to_vec());
            socket.send(message.clone())?;
            assert!(socket.read()? == message, "another message of {size} bytes came back");
        }
        // An answer to a ping comes from the server itself.
        socket.send(Message::Ping(b"there?".as_slice().into()))?;
        assert_eq!(socket.read()?, Message::Pong(b"there?".as_slice().into()));
        socket.close(None)?;
        while socket.read().is_ok() {}
        Ok(())
    });
    within("the talk", talk).await??
}
