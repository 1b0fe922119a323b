//! `kubectl fwd serve`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use sandbox::support::{Failure, Test, World, ask, connect, within};

/// A `serve` for a parent, and its pipe.
struct Child {
    process: tokio::process::Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it, and in it a forward to a service. Gives the answer, too.
    async fn with_forward(world: &World, name: &str, port: u16) -> Result<(Self, Value), Failure> {
        let mut process = world.command("serve --stdio").stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut stdin = process.stdin.take().ok_or("no stdin")?;
        let mut stdout = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        let params = json!({ "resource_type": "svc", "name": name, "remote_port": port });
        let start = json!({ "jsonrpc": "2.0", "id": 1, "method": "portforward:start", "params": params });
        stdin.write_all(format!("{start}\n").as_bytes()).await?;
        let mut line = String::new();
        within("the answer", stdout.read_line(&mut line)).await??;
        Ok((Self { process, stdin, stdout }, serde_json::from_str(&line)?))
    }
}

/// A parent speaks on the pipe; nothing but answers comes back; when the parent closes it, everything ends.
#[tokio::test]
async fn for_a_parent() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (child, answer) = Child::with_forward(&world, "web", 80).await?;
    let Child { mut process, mut stdin, mut stdout } = child;
    assert!(answer["result"].is_string() && answer["id"] == 1, "{answer}");
    // Its socket is there as well.
    let all = world.list().await?;
    assert_eq!(all[0]["id"], answer["result"]);
    let port = u16::try_from(all[0]["localPort"].as_u64().unwrap_or_default())?;
    ask(port).await?;
    // The last question is answered although nothing more comes.
    stdin.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"portforward:list\"}").await?;
    drop(stdin);
    let mut rest = String::new();
    within("the end", stdout.read_to_string(&mut rest)).await??;
    let last: Value = serde_json::from_str(&rest)?;
    assert_eq!((&last["id"], &last["result"][0]["connections"]["total"]), (&json!(2), &json!(1)));
    let ended = within("its end", process.wait()).await??;
    assert_eq!(ended.code(), Some(0));
    assert!(connect(port).await.is_err());
    Ok(())
}

/// Ctrl-C in a terminal reaches the parent, which closes the pipe, and the process itself: that is asking once.
#[tokio::test]
async fn a_closed_pipe_and_a_signal_are_one_end() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (Child { mut process, stdin, stdout: _stdout }, _) = Child::with_forward(&world, "api", 9000).await?;
    let port = u16::try_from(world.list().await?[0]["localPort"].as_u64().unwrap_or_default())?;
    let mut client = connect(port).await?;
    let mut byte = [0; 1];
    client.write_all(&byte).await?;
    within("the first echo", client.read_exact(&mut byte)).await??;
    drop(stdin);
    within("the end of the listener", async { while connect(port).await.is_ok() {} }).await?;
    let pid = process.id().ok_or("it is gone")?.to_string();
    assert!(tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await?.success());
    // Answered in the drain, long after the signal has come.
    for _ in 0..30 {
        client.write_all(&byte).await?;
        within("an echo", client.read_exact(&mut byte)).await??;
    }
    drop(client);
    assert_eq!(within("its end", process.wait()).await??.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn signals_end_it() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    for (signal, line) in [("INT", "serve"), ("TERM", "serve"), ("TERM", "serve --stdio")] {
        let mut command = world.command(line);
        command.stdin(Stdio::piped());
        let forward = sandbox::support::forward::Forward::spawn(command)?;
        within("its socket", async {
            while world.sockets().map_or(0, |all| all.len()) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await?;
        let ended = forward.end(signal).await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line} {signal}");
        assert!(world.sockets()?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn usage() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    for (line, says) in [
        ("serve svc/api 80", "unexpected argument 'svc/api'"),
        ("serve --stdoi", "did you mean '--stdio'?"),
        ("serve --auto-port", "has no flag --auto-port"),
        ("list --stdio", "unknown flag '--stdio'"),
        ("list -o xml", "table, wide, json, yaml, name, or custom-columns"),
        ("stop --all -- x", "after '--'"),
    ] {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("help: "), "{line}: {}", ran.stderr);
    }
    for (line, says) in [
        ("serve --help", "kubectl fwd serve [FLAGS]"),
        ("list -h", "-o, --output "),
        ("help stop", "kubectl fwd stop [FLAGS] [ID...]"),
    ] {
        let text = world.told(line).await?;
        assert!(text.contains(says) && text.contains("Examples:"), "{line}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    Ok(())
}
