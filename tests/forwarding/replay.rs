//! What is tried again elsewhere without its client noticing, and what is not (PROTOCOL §3.7): each row of the rule, and
//! beside it the case that looks alike and must not be tried again.
//!
//! The application counts. A request that was tried again has reached it once; one that was not has reached it at most
//! once, and its client is told by a reset.

use std::time::Duration;

use http::StatusCode;
use sandbox::Sandbox;
use sandbox::faults::{Denial, PairFault};
use sandbox::node::{Support, Timing};
use sandbox::support::forward::Forward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use sandbox::support::pods::{a_pod, cluster, seen};
use sandbox::support::{Failure, Test, answer, ask, connect, expect_reset, post, rest, send, within};

/// Protocols with sessions.
const SUPPORTS: [Support; 2] = [Support::Full, Support::NoTunnel];

/// What is kept for another attempt, at most.
const KEPT: usize = 64 * 1024;

/// What containerd and CRI-O say before any byte has passed (PROTOCOL §3.5).
const BEFORE: [&str; 11] = [
    "failed to execute portforward in network namespace \"/var/run/netns/x\": failed to connect to localhost:8080 inside \
     namespace \"0a1b\", IPv4: dial tcp4 127.0.0.1:8080: connect: connection refused IPv6 dial tcp6: no such host",
    // On Windows.
    "failed to connect to 10.0.0.7:8080: dial tcp: i/o timeout",
    "failed to find sandbox \"0a1b\" in store: not found",
    "network namespace for sandbox \"0a1b\" is closed",
    "PodSandbox with ID starting with 0a1b not found: ID does not exist",
    "could not find sandbox 0a1b",
    "sandbox 0a1b is not running",
    "network namespace path of sandbox 0a1b is empty",
    "port forward into network namespace \"/var/run/netns/x\": failed to connect to localhost:8080 inside namespace 0a1b: \
     dial tcp [::1]:8080: connect: connection refused",
    "(conn=0xc000, request=1) timed out waiting for streams",
    "error processing stream for request 1: error stream already assigned",
];

/// What they say when bytes may have passed, and what nobody has said yet.
const AFTER: [&str; 4] = [
    "failed to execute portforward in network namespace \"/var/run/netns/x\": writeto tcp4 127.0.0.1:1->127.0.0.1:8080: \
     read tcp4 127.0.0.1:1->127.0.0.1:8080: read: connection reset by peer",
    "failed to execute portforward in network namespace \"/var/run/netns/x\": readfrom tcp4 127.0.0.1:1->127.0.0.1:8080: \
     write tcp4 127.0.0.1:1->127.0.0.1:8080: write: broken pipe",
    "failed to check netwok namespace closed: permission denied",
    "something that no runtime has said yet",
];

fn said(text: &str) -> String {
    format!("error forwarding port 8080 to pod 0a1b, uid : {text}")
}

/// A forward to the one pod of `api`, which has answered before.
struct One {
    sandbox: Sandbox,
    forward: Forward,
    port: u16,
    pod: String,
    /// Requests that its application has had.
    had: u64,
}

impl One {
    async fn start(support: Support) -> Result<Self, Failure> {
        let sandbox = cluster().await?;
        sandbox.node().set_support(support);
        // So that an incomplete pair is given up soon.
        sandbox.node().set_timing(Timing { pair: Duration::from_millis(300), ..Timing::default() });
        sandbox.scale("deploy", "default", "api", 1)?;
        sandbox.settled().await?;
        let pod = a_pod(&sandbox, "api")?;
        let args = ["svc/api", ":80", "--address=127.0.0.1"];
        let mut forward = Forward::start(crate::start::program(), &sandbox.kubeconfig("admin"), &args)?;
        let port = forward.port().await?;
        assert_eq!(ask(port).await?, pod);
        Ok(Self { sandbox, forward, port, pod, had: 1 })
    }

    /// The application has had so many requests more, and no others.
    async fn had(&mut self, more: u64) -> Test {
        self.had += more;
        let stats = seen(&self.sandbox, &self.pod, 8080, |stats| stats.requests >= self.had).await?;
        assert_eq!(stats.requests, self.had);
        Ok(())
    }

    /// Waits until the application has accepted so many connections in all.
    async fn accepted(&self, connections: u64) -> Test {
        seen(&self.sandbox, &self.pod, 8080, |stats| stats.connections >= connections).await.map(drop)
    }

    /// A request that meets a fault, and is answered as if it had not.
    async fn is_tried_again(&mut self, pair_fault: PairFault) -> Test {
        let what = format!("{pair_fault:?}");
        self.sandbox.faults().pair_fault(pair_fault);
        let answered = ask(self.port).await;
        let answered = answered.map_err(|why| format!("{what}: {why}; {}", self.forward.said_on_stderr()))?;
        assert_eq!(answered, self.pod, "{what}");
        assert_eq!(self.sandbox.faults().pair_faults(), 0, "{what}");
        self.had(1).await.map_err(|why| format!("{what}: {why}").into())
    }

    /// What was sent is not sent again: its client gets a reset, and the application had it `times`.
    async fn is_reset(&mut self, mut client: TcpStream, times: u64, what: &str) -> Test {
        expect_reset(&mut client).await.map_err(|why| format!("{what}: {why}"))?;
        self.forward.stderr(" failed: ").await.map_err(|why| format!("{what}: {why}"))?;
        // The next request is one more, and the only one.
        assert_eq!(ask(self.port).await?, self.pod, "{what}");
        self.had(times + 1).await.map_err(|why| format!("{what}: {why}").into())
    }
}

/// The bytes of a request as [`send`] makes it.
fn length(path: &str) -> usize {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").len()
}

#[tokio::test]
async fn what_was_refused_by_the_runtime_is_tried_again() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        for pair_fault in [PairFault::RefuseError, PairFault::RefuseData, PairFault::Incomplete] {
            one.is_tried_again(pair_fault).await?;
        }
        for text in BEFORE {
            // All that was sent had come by then.
            one.is_tried_again(PairFault::Text { text: said(text), after: length("/") }).await?;
        }
        let ended = one.forward.end("INT").await?;
        assert_eq!(ended.stderr, "", "nobody is told of what nobody notices");
    }
    Ok(())
}

/// Taken, and then cut off: by whatever words, or none.
#[tokio::test]
async fn what_may_have_been_delivered_is_not_tried_again() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        for text in AFTER {
            one.sandbox.faults().pair_fault(PairFault::Cut { text: said(text), after: 0 });
            let client = send(one.port, "/").await?;
            one.is_reset(client, 1, text).await?;
        }
        one.sandbox.faults().pair_fault(PairFault::CutSilently { after: 0 });
        let client = send(one.port, "/").await?;
        one.is_reset(client, 1, "no text").await?;
        // Even where the request was not: it cannot be known.
        one.sandbox.faults().pair_fault(PairFault::Text { text: said(AFTER[3]), after: length("/") });
        let client = send(one.port, "/").await?;
        one.is_reset(client, 0, "an unknown text").await?;
    }
    Ok(())
}

/// The client has seen a part of the answer: whatever the runtime says then, it cannot be begun again.
#[tokio::test]
async fn after_the_first_byte_nothing_is_tried_again() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        for text in BEFORE {
            one.sandbox.faults().pair_fault(PairFault::Cut { text: said(text), after: 1 });
            let mut client = send(one.port, "/").await?;
            assert_eq!(within("the first byte", client.read_u8()).await??, b'H');
            one.is_reset(client, 1, text).await?;
        }
    }
    Ok(())
}

/// An end without a word is a success, even of nothing.
#[tokio::test]
async fn an_empty_answer_is_an_answer() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        one.sandbox.faults().pair_fault(PairFault::Cut { text: String::new(), after: 0 });
        let mut client = send(one.port, "/").await?;
        assert_eq!(rest(&mut client).await?, b"");
        one.had(1).await?;
        assert_eq!(ask(one.port).await?, one.pod);
        one.had(1).await?;
        assert_eq!(one.forward.end("INT").await?.stderr, "");
    }
    Ok(())
}

/// What is kept is 64 KiB: a request of that size is sent again whole, a larger one is not.
#[tokio::test]
async fn what_is_kept_has_a_limit() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        let head =
            |body: usize| format!("POST /sink HTTP/1.1\r\nHost: test\r\nContent-Length: {body}\r\n\r\n");
        let text = said(BEFORE[2]);
        let body = vec![b'x'; KEPT - head(KEPT).len()];
        one.sandbox
            .faults()
            .pair_fault(PairFault::Text { text: text.clone(), after: head(body.len()).len() + body.len() });
        let told = post(&mut connect(one.port).await?, "/sink", &body).await?;
        assert!(told.starts_with(format!("{} ", body.len()).as_bytes()));
        assert_eq!(one.sandbox.faults().pair_faults(), 0);
        one.had(1).await?;
        let body = vec![b'x'; KEPT];
        let all = head(body.len()).len() + body.len();
        one.sandbox.faults().pair_fault(PairFault::Text { text, after: all });
        let mut client = connect(one.port).await?;
        client.write_all(head(body.len()).as_bytes()).await?;
        client.write_all(&body).await?;
        one.is_reset(client, 0, "more than is kept").await?;
    }
    Ok(())
}

/// The session goes before the client has said anything: it says it on the next one. One byte more, and it might have
/// been read.
#[tokio::test]
async fn a_session_lost_with_nothing_written() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        one.sandbox.faults().pair_fault(PairFault::LoseAtSyn);
        let mut silent = connect(one.port).await?;
        // The application has it, so it is on the next session: what it says now was never on the one that is lost.
        one.accepted(2).await?;
        silent.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
        assert_eq!(answer(&mut silent).await?, format!("{}\n", one.pod).as_bytes());
        one.had(1).await?;
        assert!(!one.forward.said_on_stderr().contains(" failed: "));
        // The same with one byte on its way.
        one.sandbox.faults().pair_fault(PairFault::LoseAtData { after: 1 });
        let mut client = connect(one.port).await?;
        client.write_all(b"G").await?;
        one.is_reset(client, 0, "a byte was written").await?;
        one.sandbox.faults().pair_fault(PairFault::LoseAtData { after: length("/") });
        let client = send(one.port, "/").await?;
        one.is_reset(client, 0, "a request was written").await?;
    }
    Ok(())
}

/// All sessions are gone and new ones are refused for a while: what comes meanwhile is held, and sent once.
#[tokio::test]
async fn an_upgrade_that_is_refused() -> Test {
    for support in SUPPORTS {
        let mut one = One::start(support).await?;
        one.sandbox.faults().deny(Denial::new(StatusCode::SERVICE_UNAVAILABLE).path("/portforward"));
        one.sandbox.faults().reset_all();
        one.forward.stderr(", attempt 1 of 3 in ").await?;
        let mut client = send(one.port, "/").await?;
        one.sandbox.faults().clear();
        assert_eq!(answer(&mut client).await?, format!("{}\n", one.pod).as_bytes());
        one.had(1).await?;
        // For good: it is reset, and nothing comes of it later.
        one.sandbox.faults().deny(Denial::new(StatusCode::SERVICE_UNAVAILABLE).path("/portforward"));
        one.sandbox.faults().reset_all();
        one.forward.stderr(", attempt 1 of 3 in ").await?;
        let mut client = send(one.port, "/").await?;
        expect_reset(&mut client).await?;
        one.sandbox.faults().clear();
        one.forward.stderr("connected to pod ").await?;
        assert_eq!(ask(one.port).await?, one.pod);
        one.had(1).await?;
    }
    Ok(())
}

/// Without sessions each connection has an upgrade of its own, which may be refused by itself.
#[tokio::test]
async fn an_upgrade_of_one_connection_is_refused() -> Test {
    let mut one = One::start(Support::LegacyOnly).await?;
    one.sandbox.faults().deny(Denial::new(StatusCode::SERVICE_UNAVAILABLE).path("/portforward").times(1));
    assert_eq!(ask(one.port).await?, one.pod);
    one.had(1).await?;
    Ok(())
}

/// A port that has worked and refuses is tried again for a moment; one that never has is not.
#[tokio::test]
async fn a_port_that_refuses_for_a_moment() -> Test {
    let mut one = One::start(Support::Full).await?;
    for _ in 0..3 {
        one.sandbox.faults().pair_fault(PairFault::Text { text: said(BEFORE[0]), after: 0 });
    }
    assert_eq!(ask(one.port).await?, one.pod);
    assert_eq!(one.sandbox.faults().pair_faults(), 0);
    one.had(1).await?;
    // For longer than a moment: it is told.
    for _ in 0..100 {
        one.sandbox.faults().pair_fault(PairFault::Text { text: said(BEFORE[0]), after: 0 });
    }
    let mut client = send(one.port, "/").await?;
    expect_reset(&mut client).await?;
    let told = one.forward.stderr(" failed: ").await?;
    assert!(told.ends_with("connection refused: nothing listens on port 8080 in the pod"), "{told}");
    one.sandbox.faults().clear();
    assert_eq!(ask(one.port).await?, one.pod);
    one.had(1).await
}
