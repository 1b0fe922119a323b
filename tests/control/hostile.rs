//! Whatever clients send, or do not read, no forward notices.

use std::time::Duration;

use sandbox::support::load::Load;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use sandbox::support::{ControlClient, Failure, Test, World, within};

/// More than any process lets in.
const CROWD: usize = 2000;
/// A line that nobody means.
const ENDLESS: usize = 100 * 1024 * 1024;

/// Two forwards of one process under load, and what must still be so at the end.
struct Busy {
    world: World,
    _forward: sandbox::support::forward::Forward,
    loads: Vec<Load>,
}

impl Busy {
    async fn new() -> Result<Self, Failure> {
        let world = World::new(crate::PROGRAM).await?;
        let mut forward = world.start("svc/web :80 pod/solo :8080")?;
        let loads = vec![Load::start(forward.port().await?), Load::start(forward.port().await?)];
        Ok(Self { world, _forward: forward, loads })
    }

    /// Traffic goes on, none of it failed, both forwards are there.
    async fn goes_on(self) -> Test {
        for load in &self.loads {
            let answered = load.counts().answered;
            within("more traffic", load.until(|counts| counts.answered > answered + 100)).await?;
        }
        assert_eq!(self.world.list().await?.len(), 2);
        for load in self.loads {
            let counts = load.stop().await;
            assert_eq!(counts.failed, 0, "{:?}", counts.why);
        }
        Ok(())
    }
}

/// What is said before the connection ends.
async fn last_words(stream: &mut UnixStream) -> Result<String, Failure> {
    let mut text = Vec::new();
    // It may end with a reset where we were still sending.
    let _ = within("the end", stream.read_to_end(&mut text)).await?;
    Ok(String::from_utf8(text)?)
}

#[tokio::test]
async fn garbage() -> Test {
    let busy = Busy::new().await?;
    let socket = busy.world.socket()?;
    for (garbage, code) in [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), -32700),
        (vec![0xff; 1000], -32700),
        (vec![0; 1000], -32700),
        (b"[".repeat(60_000), -32700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1e999,\"method\":\"x\"}".to_vec(), -32700),
        (b"[]\n[1,2,3]\nnull\n\"x\"".to_vec(), -32600),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"portforward:stop\",\"params\":[\"x\"]}".to_vec(),
            -32602,
        ),
        (
            format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(60_000)).into_bytes(),
            -32601,
        ),
    ] {
        let mut stream = UnixStream::connect(&socket).await?;
        stream.write_all(&garbage).await?;
        stream.shutdown().await?;
        let words = last_words(&mut stream).await?;
        for line in words.lines() {
            let answer: Value = serde_json::from_str(line)?;
            let error = if answer.is_array() { &answer[0]["error"] } else { &answer["error"] };
            assert_eq!(error["code"], code, "{:?}", garbage.escape_ascii().to_string().get(..80));
        }
        assert!(!words.is_empty());
    }
    busy.goes_on().await
}

/// A line without an end is refused long before it is all there.
#[tokio::test]
async fn an_endless_line() -> Test {
    let busy = Busy::new().await?;
    let mut stream = UnixStream::connect(busy.world.socket()?).await?;
    let chunk = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    while sent < ENDLESS && within("it to be read or refused", stream.write_all(&chunk)).await?.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < ENDLESS, "all of it was taken");
    let words = last_words(&mut stream).await?;
    assert!(words.contains("-32600") && words.contains("65536"), "{words}");
    busy.goes_on().await
}

/// Thousands of silent clients, and each new one is heard all the same.
#[tokio::test]
async fn a_crowd() -> Test {
    let busy = Busy::new().await?;
    let socket = busy.world.socket()?;
    let mut watcher = ControlClient::connect(&socket).await?;
    watcher.call("portforward:subscribe", json!({})).await?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(within("a connection", UnixStream::connect(&socket)).await??);
    }
    let mut client = ControlClient::connect(&socket).await?;
    assert_eq!(client.call("portforward:list", json!({})).await?.as_array().map(Vec::len), Some(2));
    // The first of them were disconnected for the others, and one who subscribed was not.
    let mut byte = [0];
    assert_eq!(within("its end", crowd[0].read(&mut byte)).await?.unwrap_or(0), 0);
    watcher.call("portforward:list", json!({})).await?;
    drop(crowd);
    busy.goes_on().await
}

/// Who closes half the connection is answered; who closes all of it has asked all the same.
#[tokio::test]
async fn half_closed() -> Test {
    let busy = Busy::new().await?;
    let socket = busy.world.socket()?;
    let mut stream = UnixStream::connect(&socket).await?;
    let subscribe = json!({ "jsonrpc": "2.0", "id": 1, "method": "portforward:subscribe" });
    let start = json!({
        "jsonrpc": "2.0", "id": 2, "method": "portforward:start",
        "params": { "resource_type": "sts", "name": "db", "remote_port": 5432 },
    });
    stream.write_all(format!("{subscribe}\n{start}\n").as_bytes()).await?;
    stream.shutdown().await?;
    let words = last_words(&mut stream).await?;
    let answers: Vec<Value> = words.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let answer = answers.iter().find(|answer| answer["id"] == 2).ok_or_else(|| words.clone())?;
    let started = answer["result"].clone();
    assert!(started.is_string(), "{words}");
    let mut client = ControlClient::connect(&socket).await?;
    client.call("portforward:stop", json!({ "id": started })).await?;
    let mut stream = UnixStream::connect(&socket).await?;
    stream.write_all(format!("{start}\n").as_bytes()).await?;
    drop(stream);
    busy.world.listed("what was asked for", |all| all.len() == 3).await?;
    busy.world.told("stop sts/db").await?;
    busy.goes_on().await
}

/// A subscriber that never reads is dropped, and those that read miss nothing.
#[tokio::test]
async fn a_slow_reader() -> Test {
    let busy = Busy::new().await?;
    let socket = busy.world.socket()?;
    let mut slow = ControlClient::connect(&socket).await?;
    slow.call("portforward:subscribe", json!({})).await?;
    let mut client = ControlClient::connect(&socket).await?;
    client.call("portforward:subscribe", json!({})).await?;
    let dropped = async {
        // Each answer is a long line: a full queue and a full socket come soon, and reading it then comes to an end.
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "x".repeat(1000) }).to_string();
        while slow.say(&request).await.is_ok() {}
    };
    within("the slow reader to be dropped", dropped).await?;
    let (id, _) = client.forward("sts", "db", json!(5432)).await?;
    client.event(|told| told["event"] == "active" && told["id"] == id).await?;
    client.call("portforward:stop", json!({ "id": id })).await?;
    busy.goes_on().await
}

/// A client that says one byte at a time is no trouble to another.
#[tokio::test]
async fn a_slow_writer() -> Test {
    let busy = Busy::new().await?;
    let socket = busy.world.socket()?;
    let mut slow = UnixStream::connect(&socket).await?;
    let mut quick = ControlClient::connect(&socket).await?;
    for byte in b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"portforward:list\"}" {
        slow.write_all(&[*byte]).await?;
        quick.call("rpc:version", json!({})).await?;
    }
    slow.shutdown().await?;
    assert!(last_words(&mut slow).await?.contains("\"result\""));
    tokio::time::timeout(Duration::from_secs(45), busy.goes_on()).await?
}

/// Many at once: no more come about than a process may have, and the others are told.
#[tokio::test]
async fn more_starts_than_it_takes() -> Test {
    const MOST: usize = 1000;
    const BATCH: usize = 64;
    let world = World::new(crate::PROGRAM).await?;
    let (serve, mut client) = world.served().await?;
    let params =
        json!({ "resource_type": "pod", "name": "solo", "remote_port": 8080, "address": "127.0.0.1" });
    let batches = MOST / BATCH + 2;
    let batch: Vec<_> = (0..BATCH)
        .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "portforward:start", "params": params }))
        .collect();
    let batch = Value::Array(batch).to_string();
    for _ in 0..batches {
        client.say(&batch).await?;
    }
    let (mut started, mut refused) = (0, 0);
    for _ in 0..batches {
        for answer in client.next().await?.ok_or("the connection ended")?.as_array().ok_or("no batch")? {
            match &answer["error"] {
                Value::Null => started += 1,
                error => {
                    assert_eq!(
                        (&error["code"], &error["data"]["code"]),
                        (&json!(-32002), &json!("fwd::control::too_many")),
                        "{error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((started, refused), (MOST, batches * BATCH - MOST));
    let all = client.call("portforward:list", json!({})).await?;
    assert_eq!(all.as_array().map(Vec::len), Some(MOST));
    // One that is stopped makes room.
    client.call("portforward:stop", json!({ "id": all[0]["id"] })).await?;
    client.forward("pod", "solo", json!(8080)).await?;
    assert_eq!(serve.end("TERM").await?.code, Some(0));
    Ok(())
}
