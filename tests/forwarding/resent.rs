//! `--retry safe-http`: which requests are sent again when the tunnel is lost under them, how often, and which are not.
//!
//! The application counts by the id in a request. `/times?id=X&from=2` leaves the first request of X without an answer, and
//! answers the second with the count: a request that was lost and sent again is told by its own answer.

use http::StatusCode;
use sandbox::Sandbox;
use sandbox::faults::{Denial, PairFault};
use sandbox::node::Support;
use sandbox::support::forward::Forward;
use sandbox::support::load::{Load, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::start::working;
use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, answer, ask, connect, expect_reset, rest, within};

const SAFE: &str = "--retry safe-http -v 1";

/// Requests that are under way when the tunnel goes.
const REQUESTS: usize = 8;

/// Times that one request is sent again at most.
const MOST: usize = 4;

/// What is kept of a connection's bytes.
const KEPT: usize = 64 * 1024;

/// What a lost tunnel is.
const CUTS: [(&str, Cut); 3] =
    [("reset", Cut::Reset), ("closed", Cut::Closed), ("restarted", Cut::Restarted)];

#[derive(Clone, Copy)]
enum Cut {
    Reset,
    Closed,
    Restarted,
}

/// A forward to the one pod of `api`.
struct One {
    sandbox: Sandbox,
    forward: Forward,
    port: u16,
    pod: String,
}

impl One {
    async fn start(support: Support, options: &str) -> Result<Self, Failure> {
        let sandbox = cluster().await?;
        sandbox.node().set_support(support);
        sandbox.scale("deploy", "default", "api", 1)?;
        sandbox.settled().await?;
        let pod = a_pod(&sandbox, "api")?;
        let (forward, port) = working(&sandbox, &format!("svc/api :80 {options}")).await?;
        assert_eq!(ask(port).await?, pod);
        Ok(Self { sandbox, forward, port, pod })
    }

    async fn cut(&self, cut: Cut) -> Test {
        match cut {
            Cut::Reset => self.sandbox.faults().reset_all(),
            Cut::Closed => self.sandbox.faults().close_all(),
            Cut::Restarted => self.sandbox.restart_api().await?,
        }
        Ok(())
    }

    /// Sends this, and waits until the application has all the requests in it.
    async fn under_way(&self, request: &str) -> Result<TcpStream, Failure> {
        let before = seen(&self.sandbox, &self.pod, 8080, |_| true).await?.requests;
        let mut client = connect(self.port).await?;
        client.write_all(request.as_bytes()).await?;
        seen(&self.sandbox, &self.pod, 8080, |stats| stats.requests > before).await?;
        Ok(client)
    }

    /// How often the application had this id.
    async fn times(&self, id: &str) -> Result<u64, Failure> {
        let path = format!("/times?id={id}");
        let count = within("the count", async {
            loop {
                // One that meets the cut never reaches the application, and is lost without the flag.
                if let Ok(count) = get(self.port, &path).await {
                    return count.parse::<u64>();
                }
            }
        });
        Ok(count.await?? - 1)
    }

    /// What a lost session does to this request: its client gets a reset, and nothing is sent again.
    async fn is_reset(&mut self, request: &[u8]) -> Test {
        let what = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        self.sandbox.faults().pair_fault(PairFault::LoseAtData { after: request.len() });
        let before = seen(&self.sandbox, &self.pod, 8080, |_| true).await?.requests;
        let mut client = connect(self.port).await?;
        client.write_all(request).await?;
        expect_reset(&mut client).await.map_err(|why| format!("{what:?}: {why}"))?;
        self.forward.stderr(" failed: ").await.map_err(|why| format!("{what:?}: {why}"))?;
        assert_eq!(ask(self.port).await?, self.pod);
        assert_eq!(seen(&self.sandbox, &self.pod, 8080, |_| true).await?.requests, before + 1, "{what:?}");
        Ok(())
    }
}

fn head(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

/// By whatever means the tunnel goes, each safe request is answered, and each other one has reached the application once.
#[tokio::test]
async fn safe_requests_survive_the_tunnel() -> Test {
    for support in [Support::Full, Support::NoTunnel, Support::LegacyOnly] {
        let one = One::start(support, SAFE).await?;
        for (name, cut) in CUTS {
            let mut safe = Vec::new();
            for at in 0..REQUESTS {
                let method = if at % 2 == 0 { "GET" } else { "OPTIONS" };
                let mut client =
                    one.under_way(&head(method, &format!("/times?id={name}{at}&from=2"), "")).await?;
                if at % 3 == 0 {
                    // It says that nothing more comes, and waits for its answer.
                    client.shutdown().await?;
                }
                safe.push(client);
            }
            let mut post = one.under_way(&head("POST", &format!("/times?id={name}post&from=2"), "")).await?;
            one.cut(cut).await?;
            for (at, mut client) in safe.into_iter().enumerate() {
                let told = answer(&mut client).await;
                let told = told.map_err(|why| format!("{support:?}, {name}, {at}: {why}"))?;
                assert_eq!(told, b"2\n", "{support:?}, {name}, {at}");
            }
            expect_reset(&mut post).await?;
            assert_eq!(one.times(&format!("{name}post")).await?, 1, "{support:?}, {name}");
        }
    }
    Ok(())
}

/// The same requests without the flag: none is answered, and none is sent again.
#[tokio::test]
async fn without_the_flag_they_are_lost() -> Test {
    for options in ["-v 1", "--retry none -v 1"] {
        let one = One::start(Support::Full, options).await?;
        for (name, cut) in CUTS {
            let mut client = one.under_way(&head("GET", &format!("/times?id={name}&from=2"), "")).await?;
            one.cut(cut).await?;
            expect_reset(&mut client).await?;
            assert_eq!(one.times(name).await?, 1, "{name}");
        }
        assert!(!one.forward.said_on_stderr().contains("sent again"));
    }
    Ok(())
}

/// Requests without pause, from several clients, while everything goes again and again: none is lost.
#[tokio::test]
async fn none_is_lost_under_load() -> Test {
    let one = One::start(Support::Full, "--retry safe-http").await?;
    let load = Load::start(one.port);
    for (_, cut) in CUTS.repeat(3) {
        let before = load.counts().answered;
        within("answers", load.until(|counts| counts.answered >= before + 50)).await?;
        one.cut(cut).await?;
    }
    let before = load.counts().answered;
    within("answers", load.until(|counts| counts.answered >= before + 50)).await?;
    let counts = load.stop().await;
    assert_eq!(counts.failed, 0, "{counts:?}");
    println!("{} requests, none lost while the tunnel was cut {} times", counts.answered, CUTS.len() * 3);
    Ok(())
}

/// Whatever is not one safe request alone.
#[tokio::test]
async fn other_requests_are_not_sent_again() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    let get = head("GET", "/", "");
    for request in [
        head("POST", "/", ""),
        head("DELETE", "/", ""),
        head("GET", "/", "Content-Length: 4\r\n") + "body",
        head("GET", "/", "Transfer-Encoding: chunked\r\n"),
        head("GET", "/", "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        head("GET", "/", "Expect: 100-continue\r\n"),
        get.clone() + &get,
        get.clone() + "POST",
        // The first line is not whole: it could be of any protocol.
        "GET / HTTP/1.1\r".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        head("GET", "/", &format!("X-Long: {}\r\n", "x".repeat(KEPT))),
    ] {
        one.is_reset(request.as_bytes()).await?;
    }
    // A TLS handshake.
    one.is_reset(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03").await?;
    assert!(!one.forward.said_on_stderr().contains("sent again"));
    // What is kept is enough for a head of nearly that size.
    let long = head("GET", "/", &format!("X-Long: {}\r\n", "x".repeat(KEPT - 100)));
    one.sandbox.faults().pair_fault(PairFault::LoseAtData { after: long.len() });
    let mut client = connect(one.port).await?;
    client.write_all(long.as_bytes()).await?;
    assert_eq!(answer(&mut client).await?, format!("{}\n", one.pod).as_bytes());
    Ok(())
}

/// A part of the answer has come, or the application has ended the connection itself: that is the answer.
#[tokio::test]
async fn what_was_answered_is_not_asked_again() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    one.sandbox.faults().pair_fault(PairFault::CutSilently { after: 1 });
    let mut client = one.under_way(&head("GET", "/times?id=part", "")).await?;
    assert_eq!(within("the first byte", client.read_u8()).await??, b'H');
    expect_reset(&mut client).await?;
    assert_eq!(one.times("part").await?, 1);
    let text = "error forwarding port 8080 to pod 0a1b, uid : failed to execute portforward in network namespace \
                \"/var/run/netns/x\": writeto tcp4 127.0.0.1:1->127.0.0.1:8080: read tcp4 127.0.0.1:1->127.0.0.1:8080: \
                read: connection reset by peer";
    one.sandbox.faults().pair_fault(PairFault::Cut { text: text.to_owned(), after: 0 });
    let mut client = one.under_way(&head("GET", "/times?id=reset", "")).await?;
    expect_reset(&mut client).await?;
    assert_eq!(one.times("reset").await?, 1);
    one.sandbox.faults().pair_fault(PairFault::Cut { text: String::new(), after: 0 });
    let mut client = one.under_way(&head("GET", "/times?id=closed", "")).await?;
    assert_eq!(rest(&mut client).await?, b"");
    assert_eq!(one.times("closed").await?, 1);
    assert!(!one.forward.said_on_stderr().contains("sent again"));
    // The runtime's reset without a word is not the application's.
    one.sandbox.faults().pair_fault(PairFault::CutSilently { after: 0 });
    let mut client = one.under_way(&head("GET", "/times?id=silent", "")).await?;
    assert_eq!(answer(&mut client).await?, b"2\n");
    one.forward.stderr("the request will be sent again (1 of 4)").await?;
    Ok(())
}

/// A head that was cut short is sent again as far as it had come, and the rest follows it.
#[tokio::test]
async fn a_head_without_its_end() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    let (first, second) = ("GET /times?id=half HTTP/1.1\r\nHo", "st: test\r\n\r\n");
    one.sandbox.faults().pair_fault(PairFault::LoseAtData { after: first.len() });
    let mut client = connect(one.port).await?;
    client.write_all(first.as_bytes()).await?;
    let told = one.forward.stderr(" was lost before an answer came").await?;
    assert!(told.contains(&format!("the connection to pod {} was lost", one.pod)), "{told}");
    client.write_all(second.as_bytes()).await?;
    assert_eq!(answer(&mut client).await?, b"1\n");
    drop(client);
    one.forward.stderr(" s, request sent again, closed").await?;
    Ok(())
}

/// A request that brings down its tunnel each time has an end.
#[tokio::test]
async fn it_is_sent_again_so_often_and_no_more() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    let get = head("GET", "/", "");
    for _ in 0..2 * MOST {
        one.sandbox.faults().pair_fault(PairFault::LoseAtData { after: get.len() });
    }
    let mut client = connect(one.port).await?;
    client.write_all(get.as_bytes()).await?;
    expect_reset(&mut client).await?;
    one.forward.stderr(" failed: the connection to the pod was lost while a request was under way").await?;
    assert_eq!(one.sandbox.faults().pair_faults(), 2 * MOST - 1 - MOST);
    assert_eq!(one.forward.said_on_stderr().matches("the request will be sent again").count(), MOST);
    Ok(())
}

/// New connections are refused once a round of attempts has failed; a request that was under way waits for the next.
#[tokio::test]
async fn the_api_server_is_away_for_a_while() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    let mut client = one.under_way(&head("GET", "/times?id=away&from=2", "")).await?;
    let mut post = one.under_way(&head("POST", "/times?id=post&from=2", "")).await?;
    one.sandbox.stop_api().await;
    one.forward.stderr("cluster unreachable (connection refused), retrying within ").await?;
    expect_reset(&mut post).await?;
    one.sandbox.resume_api().await?;
    assert_eq!(answer(&mut client).await?, b"2\n");
    assert_eq!(one.times("post").await?, 1);
    Ok(())
}

/// And no longer than a connection is held.
#[tokio::test]
async fn it_waits_no_longer_than_it_may_be_held() -> Test {
    let mut one = One::start(Support::Full, "--retry safe-http --hold 100ms").await?;
    let mut client = one.under_way(&head("GET", "/times?id=x&from=2", "")).await?;
    one.sandbox.stop_api().await;
    expect_reset(&mut client).await?;
    one.forward.stderr(" failed: ").await?;
    Ok(())
}

/// Nobody waits for the answer any more: it is not asked for.
#[tokio::test]
async fn a_client_that_is_gone() -> Test {
    let mut one = One::start(Support::Full, SAFE).await?;
    let client = one.under_way(&head("GET", "/times?id=gone&from=9", "")).await?;
    one.sandbox.faults().deny(Denial::new(StatusCode::SERVICE_UNAVAILABLE).path("/portforward"));
    one.sandbox.faults().reset_all();
    one.forward.stderr("the request will be sent again").await?;
    client.set_zero_linger()?;
    drop(client);
    one.sandbox.faults().clear();
    one.forward.stderr(" s, reset").await?;
    assert_eq!(one.times("gone").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_mode_that_is_none() -> Test {
    let sandbox = cluster().await?;
    let ended = crate::start::fwd(&sandbox, "svc/api :80 --retry all")?.wait().await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("'all' does not say which requests are sent again"), "{}", ended.stderr);
    Ok(())
}
