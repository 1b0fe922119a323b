//! What the forwards of one process share, and let go of.

use serde_json::{Value, json};

use sandbox::support::{Test, World, ask, within};

/// Forwards, each started on its own.
const MANY: usize = 30;

/// Connections to the API server that as many forwards to two targets may have: for each target a watch, and sessions to
/// one pod, of which there are at most eight; and what the client for objects keeps open. Were nothing shared, each
/// forward would have three.
const FEW: usize = 2 * (1 + 8) + 8;

#[tokio::test]
async fn clients_watches_and_sessions() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let connections = || world.sandbox.faults().connections();
    assert_eq!(connections(), 0);
    let (serve, mut client) = world.served().await?;
    let mut ids = Vec::new();
    for number in 0..MANY {
        let (target, remote) = [("web", json!(80)), ("api", json!("http"))][number % 2].clone();
        let (id, port) = client.forward("svc", target, remote).await?;
        ask(port).await?;
        ids.push(id);
    }
    assert!(connections() <= FEW, "{} connections", connections());

    // Those that stay go on with what is shared.
    for id in &ids[1..] {
        client.call("portforward:stop", json!({ "id": id })).await?;
    }
    let rest = client.call("portforward:list", json!({})).await?;
    assert_eq!(rest.as_array().map(Vec::len), Some(1));
    ask(u16::try_from(rest[0]["localPort"].as_u64().unwrap_or_default())?).await?;

    // With the last one everything is closed, and the next one opens it anew.
    assert_eq!(client.call("portforward:stop", json!({ "id": ids[0] })).await?, Value::Null);
    within("every connection to be closed", async {
        while connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let (_, port) = client.forward("svc", "web", json!(80)).await?;
    ask(port).await?;
    assert_eq!(serve.end("TERM").await?.code, Some(0));
    Ok(())
}

/// A file that names another user from now on is another cluster from now on.
#[tokio::test]
async fn a_kubeconfig_that_changes() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let path = world.sandbox.directory().join("mine.kubeconfig");
    std::fs::copy(world.kubeconfig(), &path)?;
    let mut command = world.command("serve");
    command.env("KUBECONFIG", &path);
    let mut serve = sandbox::support::forward::Forward::spawn(command)?;
    serve.stdout("Serving on ").await?;
    let mut client = world.client().await?;
    let (_, port) = client.forward("svc", "web", json!(80)).await?;
    std::fs::write(&path, std::fs::read_to_string(&path)?.replace("\"token\": \"", "\"token\": \"not-"))?;
    let refused = client.forward("svc", "api", json!(80)).await.err().ok_or("a bad token was taken")?;
    assert!(refused.to_string().contains("401") || refused.to_string().contains("credentials"), "{refused}");
    // The one that was there goes on.
    ask(port).await?;
    Ok(())
}
