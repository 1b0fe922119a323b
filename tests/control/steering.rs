//! Reconnecting and choosing a pod, as another program asks for it.

use serde_json::{Value, json};

use sandbox::support::{Failure, Test, World, answer, ask, pods::seen, send};

/// The names of pods that new connections may go to, those in use first.
fn candidates(pods: &Value) -> Result<Vec<&str>, Failure> {
    let all = pods.as_array().ok_or("no list")?;
    let mut all: Vec<_> = all.iter().filter(|pod| pod["candidate"] == true).collect();
    all.sort_by_key(|pod| pod["current"] != true);
    Ok(all.iter().filter_map(|pod| pod["name"].as_str()).collect())
}

#[tokio::test]
async fn another_pod() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (id, port) = client.forward("svc", "api", json!(80)).await?;
    client.call("portforward:subscribe", json!({})).await?;
    let pods = client.call("portforward:pods", json!({ "id": id })).await?;
    let before = ask(port).await?;
    let [current, other] = candidates(&pods)?[..] else { return Err(format!("not two: {pods}").into()) };
    assert_eq!(before, current);
    // One that is under way stays where it is.
    let mut slow = send(port, "/slow?ms=1500").await?;
    seen(&world.sandbox, current, 8080, |stats| stats.requests >= 2).await?;
    let to = client.call("portforward:retarget", json!({ "id": id, "pod": other })).await?;
    assert_eq!(to, json!(other));
    assert_eq!(ask(port).await?, other);
    let told = client.event(|event| event["event"] == "retargeted").await?;
    assert_eq!(
        (&told["why"], &told["from"], &told["pod"]),
        (&json!("requested"), &json!(current), &json!(other))
    );
    assert_eq!(answer(&mut slow).await?.trim_ascii(), current.as_bytes());
    // Without a name it is whichever other one.
    let back = client.call("portforward:retarget", json!({ "id": id })).await?;
    assert_eq!(back, json!(current));
    assert_eq!(ask(port).await?, current);
    let row = &client.call("portforward:list", json!({})).await?[0];
    assert_eq!(
        (&row["state"], &row["restarts"], &row["lastError"]),
        (&json!("active"), &json!(2), &Value::Null)
    );
    Ok(())
}

#[tokio::test]
async fn pods_that_cannot_be() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (id, port) = client.forward("pod", "solo", json!(8080)).await?;
    for (method, params, code, says) in [
        ("portforward:retarget", json!({ "id": id }), -32000, "no other pod"),
        ("portforward:retarget", json!({ "id": id, "pod": "solo" }), -32000, "cannot go to pod solo"),
        ("portforward:retarget", json!({ "id": id, "pod": 1 }), -32602, "expected a string"),
        ("portforward:retarget", json!({ "id": "zzzzzz" }), -32001, "zzzzzz"),
        ("portforward:reconnect", json!({ "id": "zzzzzz" }), -32001, "zzzzzz"),
        ("portforward:reconnect", json!({}), -32602, "id"),
        ("portforward:pods", json!({ "id": "zzzzzz" }), -32001, "zzzzzz"),
    ] {
        let error = client.ask(method, params.clone()).await?.err().ok_or(format!("{method} {params}"))?;
        assert_eq!(error["code"], code, "{method} {params}: {error}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(says)),
            "{method} {params}: {error}"
        );
    }
    assert_eq!(ask(port).await?, "solo");
    Ok(())
}

/// A target that is lost waits for its cool-down. One that asks does not.
#[tokio::test]
async fn reconnecting() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (id, port) = client.forward("pod", "solo", json!(8080)).await?;
    client.call("portforward:subscribe", json!({})).await?;
    // One that works is dialled anew.
    client.call("portforward:reconnect", json!({ "id": id })).await?;
    client.event(|event| event["event"] == "recovered").await?;
    assert_eq!(ask(port).await?, "solo");
    let told = client.event(|event| event["event"] == "waiting" || event["event"] == "lost");
    world.sandbox.stop_api().await;
    told.await?;
    world.sandbox.resume_api().await?;
    client.call("portforward:reconnect", json!({ "id": id })).await?;
    client.event(|event| event["event"] == "recovered").await?;
    assert_eq!(ask(port).await?, "solo");
    Ok(())
}
