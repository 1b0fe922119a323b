//! How many sessions there are, who shares them, and what one client can do to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use sandbox::Sandbox;
use sandbox::faults::Denial;
use sandbox::node::Support;
use sandbox::support::forward::Forward;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::start::fwd;
use crate::traffic::echo;
use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, answer, ask, connect, send, within};

const SUPPORTS: [Support; 2] = [Support::Full, Support::NoTunnel];

const MIB: usize = 1024 * 1024;

/// A forward to the one pod of `api`, HTTP and echo.
async fn two_ports(support: Support) -> Result<(Sandbox, Forward, u16, u16), Failure> {
    let sandbox = cluster().await?;
    sandbox.node().set_support(support);
    sandbox.scale("deploy", "default", "api", 1)?;
    sandbox.settled().await?;
    let mut forward = fwd(&sandbox, "--address 127.0.0.1 svc/api :80 :9000")?;
    let (http, raw) = (forward.port().await?, forward.port().await?);
    Ok((sandbox, forward, http, raw))
}

/// The sessions that ended so far.
fn ended(sandbox: &Sandbox) -> usize {
    sandbox.node().sessions() as usize - sandbox.node().open_sessions()
}

/// Connections that merely follow one another: the runtime holds on to each for a while after its client is gone, and yet
/// they need no more than a session, one ahead, and one more while the end of the last is being noticed. On a busy machine
/// that takes a while; if closed connections counted, there would be dozens.
#[tokio::test]
async fn requests_one_after_another_share_few_sessions() -> Test {
    for support in SUPPORTS {
        let (sandbox, _forward, http, _) = two_ports(support).await?;
        for _ in 0..100 {
            ask(http).await?;
        }
        // Downloads as well, each of which is bulk while it runs.
        for _ in 0..10 {
            assert_eq!(answer(&mut send(http, "/bytes?n=3000000").await?).await?.len(), 3_000_000);
        }
        let sessions = sandbox.node().sessions();
        assert!((2..8).contains(&sessions), "{support:?}: {sessions} sessions");
    }
    Ok(())
}

/// Connections that are at rest share sessions once there are many.
#[tokio::test]
async fn many_at_rest_share_sessions() -> Test {
    const CLIENTS: u64 = 200;
    let (sandbox, _forward, _, raw) = two_ports(Support::Full).await?;
    let mut clients = Vec::new();
    for seed in 0..CLIENTS {
        let mut client = connect(raw).await?;
        echo(&mut client, seed, 1000).await?;
        clients.push(client);
    }
    let sessions = sandbox.node().open_sessions();
    assert!((32..CLIENTS as usize / 2).contains(&sessions), "{sessions} sessions");
    for (seed, client) in clients.iter_mut().enumerate() {
        echo(client, seed as u64, 1000).await?;
    }
    Ok(())
}

/// A download that nobody reads to its end, far more of it than anybody keeps. It is known for a bulk one by then.
async fn stalled(http: u16) -> Result<TcpStream, Failure> {
    let mut stream = send(http, "/bytes?n=1000000000").await?;
    let mut some = vec![0; 4 * MIB];
    within("a part of a download", stream.read_exact(&mut some)).await??;
    Ok(stream)
}

/// Resident memory of a process, in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn resident(pid: u32) -> Result<usize, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Clients that stop reading: each costs a session and what is kept for
/// it, and no connection that comes later waits.
#[tokio::test]
async fn clients_that_stop_reading_have_their_sessions_to_themselves() -> Test {
    const STALLED: usize = 12;
    for support in SUPPORTS {
        let (sandbox, forward, http, raw) = two_ports(support).await?;
        let mut clients = Vec::new();
        for seed in 0..STALLED {
            clients.push(stalled(http).await?);
            for _ in 0..10 {
                ask(http).await?;
            }
            echo(&mut connect(raw).await?, seed as u64, 100_000).await?;
        }
        let sessions = sandbox.node().open_sessions();
        assert!(sessions <= STALLED + 8, "{support:?}: {sessions} sessions");
        #[cfg(target_os = "linux")]
        {
            let resident = resident(forward.pid().ok_or("it has ended")?)?;
            assert!(resident < 64 * MIB, "{support:?}: {} MiB", resident / MIB);
        }
        // One reads after all, and has every byte up to where it stops again; the others go.
        let mut first = clients.remove(0);
        let mut some = vec![0; 32 * MIB];
        within("the rest of a download", first.read_exact(&mut some)).await??;
        drop((first, clients));
        for _ in 0..10 {
            ask(http).await?;
        }
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// With no other session to be had: new connections keep off the one with a client that stops reading, who is elsewhere
/// goes on, and who shares it does so when that client is gone.
#[tokio::test]
async fn beside_a_client_that_stops_reading() -> Test {
    for support in SUPPORTS {
        let (sandbox, forward, http, raw) = two_ports(support).await?;
        within("the spare session", sandbox.node().sessions_are(|open| open == 2)).await?;
        sandbox.faults().deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward"));
        let mut pair = [connect(raw).await?, connect(raw).await?];
        for client in &mut pair {
            echo(client, 1, 1000).await?;
        }
        let client = stalled(http).await?;
        for _ in 0..20 {
            ask(http).await?;
        }
        let mut echoes = JoinSet::new();
        for mut company in pair {
            echoes.spawn(async move { echo(&mut company, 2, 100_000).await });
        }
        echoes.join_next().await.ok_or("one goes on")???;
        drop(client);
        echoes.join_next().await.ok_or("and so does the other")???;
        sandbox.faults().clear();
        for _ in 0..10 {
            ask(http).await?;
        }
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// Who shares a session with a client that stops reading goes on until the memory for what that leaves is spent. That is
/// told, and ends with the client.
#[tokio::test]
async fn whoever_waits_for_anothers_client_is_told() -> Test {
    for support in SUPPORTS {
        let (sandbox, mut forward, http, raw) = two_ports(support).await?;
        within("the spare session", sandbox.node().sessions_are(|open| open == 2)).await?;
        sandbox.faults().deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward"));
        let over = Arc::new(AtomicBool::new(false));
        let mut pair = JoinSet::new();
        for seed in 0..2 {
            let (mut client, over) = (connect(raw).await?, Arc::clone(&over));
            echo(&mut client, seed, 1000).await?;
            pair.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    echo(&mut client, seed, 1000).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        let client = stalled(http).await?;
        forward.stderr("1 connection waits for a client of this forward").await?;
        over.store(true, Ordering::Relaxed);
        drop(client);
        while let Some(echoes) = pair.join_next().await {
            echoes??;
        }
    }
    Ok(())
}

/// A download that is given up: alone on its session it takes it along, for the runtime would go on sending.
#[tokio::test]
async fn a_bulk_download_is_given_up() -> Test {
    for support in SUPPORTS {
        let (sandbox, forward, http, _) = two_ports(support).await?;
        let pod = a_pod(&sandbox, "api")?;
        let mut download = send(http, "/bytes?n=1000000000").await?;
        let mut some = vec![0; 4 * MIB];
        within("a part of it", download.read_exact(&mut some)).await??;
        assert_eq!(ended(&sandbox), 0);
        drop(download);
        let node = sandbox.node();
        within("its session to end", node.sessions_are(|open| node.sessions() as usize > open)).await?;
        seen(&sandbox, &pod, 8080, |stats| stats.open == 0).await?;
        ask(http).await?;
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

/// With company it is reset, and what still comes of it is dropped.
#[tokio::test]
async fn a_bulk_download_is_given_up_beside_others() -> Test {
    for support in SUPPORTS {
        let (sandbox, forward, http, raw) = two_ports(support).await?;
        within("the spare session", sandbox.node().sessions_are(|open| open == 2)).await?;
        sandbox.faults().deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/portforward"));
        let mut company = [connect(raw).await?, connect(raw).await?];
        for client in &mut company {
            echo(client, 1, 1000).await?;
        }
        for _ in 0..3 {
            let mut download = send(http, "/bytes?n=1000000000").await?;
            let mut some = vec![0; 4 * MIB];
            within("a part of it", download.read_exact(&mut some)).await??;
            drop(download);
            for client in &mut company {
                echo(client, 2, 100_000).await?;
            }
        }
        assert_eq!((ended(&sandbox), sandbox.node().open_sessions()), (0, 2), "{support:?}");
        assert_eq!(forward.end("INT").await?.stderr, "", "{support:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_there_ahead_of_need() -> Test {
    let (sandbox, _forward, http, _) = two_ports(Support::Full).await?;
    within("the spare session", sandbox.node().sessions_are(|open| open == 2)).await?;
    let _under_way = send(http, "/slow?ms=3600000").await?;
    within("another one", sandbox.node().sessions_are(|open| open == 3)).await?;
    ask(http).await?;
    Ok(())
}
