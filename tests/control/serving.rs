//! `kubectl fwd serve`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::harness::{Test, World, ask, connect, within};

/// A parent speaks on the pipe; nothing but answers comes back; when the parent closes it, everything ends.
#[tokio::test]
async fn for_a_parent() -> Test {
    let world = World::new().await?;
    let mut child = world.command("serve --stdio").stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    let params = json!({ "resource_type": "svc", "name": "web", "remote_port": 80 });
    let start = json!({ "jsonrpc": "2.0", "id": 1, "method": "portforward:start", "params": params });
    stdin.write_all(format!("{start}\n").as_bytes()).await?;
    let mut line = String::new();
    within("the answer", stdout.read_line(&mut line)).await??;
    let answer: Value = serde_json::from_str(&line)?;
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
    let ended = within("its end", child.wait()).await??;
    assert_eq!(ended.code(), Some(0));
    assert!(connect(port).await.is_err());
    Ok(())
}

#[tokio::test]
async fn signals_end_it() -> Test {
    let world = World::new().await?;
    for (signal, line) in [("INT", "serve"), ("TERM", "serve"), ("TERM", "serve --stdio")] {
        let mut command = world.command(line);
        command.stdin(Stdio::piped());
        let forward = sandbox::forward::Forward::spawn(command)?;
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
    let world = World::new().await?;
    for (line, says) in [
        ("serve svc/api 80", "there is a word too many: 'svc/api'"),
        ("serve --stdoi", "did you mean '--stdio'?"),
        ("serve --auto-port", "takes no flag '--auto-port'"),
        ("list --stdio", "unknown flag '--stdio'"),
        ("list -o yaml", "table, wide, json or name"),
        ("stop --all -- x", "behind '--'"),
    ] {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("help: "), "{line}: {}", ran.stderr);
    }
    for (line, says) in [
        ("serve --help", "kubectl fwd serve [FLAGS]"),
        ("list -h", "-o, --output FORMAT"),
        ("help stop", "kubectl fwd stop [FLAGS] [ID...]"),
    ] {
        let text = world.told(line).await?;
        assert!(text.contains(says) && text.contains("Examples:"), "{line}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    Ok(())
}
