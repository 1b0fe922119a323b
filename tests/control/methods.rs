//! The methods, as another program uses them.

use serde_json::{Value, json};

use sandbox::support::{ControlClient, Test, World, ask, connect};

#[tokio::test]
async fn forwards_come_and_go() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (serve, mut client) = world.served().await?;
    let (web, port) = client.forward("svc", "web", json!(80)).await?;
    ask(port).await?;
    let (solo, other) = client.forward("Pods", "solo", json!("http")).await?;
    assert_eq!(ask(other).await?, "solo");
    let (selected, third) = client.forward("selector", "app=web", json!(8080)).await?;
    ask(third).await?;
    let all = world.list().await?;
    assert_eq!(all.iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&web, &solo, &selected]);
    assert_eq!((&all[2]["resourceType"], &all[2]["target"]), (&json!("selector"), &json!("-l app=web")));
    assert_eq!(client.call("portforward:stop", json!({ "id": solo })).await?, Value::Null);
    assert!(connect(other).await.is_err());
    ask(port).await?;
    assert_eq!(client.call("portforward:stopAll", json!({})).await?, 2);
    assert!(connect(port).await.is_err());
    assert_eq!(client.call("portforward:list", json!({})).await?, json!([]));
    // It goes on without forwards.
    client.forward("svc", "web", json!(80)).await?;
    assert_eq!(serve.end("TERM").await?.code, Some(0));
    assert!(world.sockets()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn options() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let params = json!({
        "resource_type": "svc", "name": "api", "namespace": "prod", "remote_port": 80, "address": "127.0.0.1",
        "label": "mine", "context": "sandbox", "allow_unready": true, "retry": "safe-http",
    });
    client.call("portforward:start", params).await?;
    let all = client.call("portforward:list", json!({})).await?;
    let of = |field: &str| all[0][field].clone();
    assert_eq!(
        (of("namespace"), of("address"), of("label"), of("allowUnready"), of("retry")),
        (json!("prod"), json!("127.0.0.1"), json!("mine"), json!(true), json!("safe-http"))
    );
    assert_eq!(world.told("stop mine").await?.lines().count(), 1);
    Ok(())
}

/// Each says what is wrong and what to do, and starts nothing.
#[tokio::test]
async fn bad_requests() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (_, taken) = client.forward("svc", "api", json!(80)).await?;
    let good = || json!({ "resource_type": "svc", "name": "api", "namespace": "default", "local_port": null, "remote_port": 80 });
    for (field, value, code, says) in [
        ("resource_type", json!("cronjob"), -32602, "cronjob"),
        ("resource_type", json!("svc/x"), -32602, "slash"),
        ("resource_type", json!(1), -32602, "string"),
        ("name", json!(""), -32602, "empty"),
        ("name", json!("a/b"), -32602, "slash"),
        ("name", json!("../.."), -32602, "slash"),
        ("name", json!("a b"), -32602, "a b"),
        ("name", json!("nothing"), -32000, "nothing"),
        ("namespace", json!("a%2f"), -32602, "namespace"),
        ("namespace", json!("nowhere"), -32000, "nowhere"),
        ("local_port", json!(65536), -32602, "local_port"),
        ("local_port", json!(-1), -32602, "local_port"),
        ("local_port", json!(80.5), -32602, "local_port"),
        ("local_port", json!("80"), -32602, "local_port"),
        ("local_port", json!(taken), -32000, "taken"),
        ("remote_port", json!(0), -32602, "remote_port"),
        ("remote_port", json!(70000), -32602, "remote_port"),
        ("remote_port", json!("a:b"), -32602, "remote_port"),
        ("remote_port", json!("nope"), -32000, "nope"),
        ("remote_port", json!(null), -32602, "remote_port"),
        ("context", json!("nowhere"), -32000, "nowhere"),
        ("address", json!("example.com"), -32602, "example.com"),
        ("label", json!("a b"), -32602, "a b"),
        ("retry", json!("all"), -32602, "all"),
        ("bogus", json!(1), -32602, "bogus"),
    ] {
        let mut params = good();
        params[field] = value.clone();
        let error =
            client.ask("portforward:start", params).await?.err().ok_or(format!("{field}: {value}"))?;
        assert_eq!(error["code"], code, "{field} {value}: {error}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(says)),
            "{field} {value}: {error}"
        );
        let (code, help) = (error["data"]["code"].as_str(), error["data"]["help"].as_str());
        assert!(
            code.is_some_and(|code| code.starts_with("fwd::")) && help.is_some(),
            "{field} {value}: {error}"
        );
    }
    for (method, params, code) in [
        ("portforward:stop", json!({}), -32602),
        ("portforward:stop", json!({ "id": 1 }), -32602),
        ("portforward:stop", json!({ "id": "zzzzzz" }), -32001),
        ("portforward:stopAll", json!({ "all": true }), -32602),
        ("portforward:lst", json!({}), -32601),
        ("", json!({}), -32601),
    ] {
        let error = client.ask(method, params.clone()).await?.err().ok_or(format!("{method} {params}"))?;
        assert_eq!(error["code"], code, "{method} {params}: {error}");
        assert!(error["data"]["help"].is_string(), "{method}: {error}");
    }
    assert_eq!(client.call("portforward:list", json!({})).await?.as_array().map(Vec::len), Some(1));
    ask(taken).await?;
    Ok(())
}

#[tokio::test]
async fn events() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (before, _) = client.forward("svc", "web", json!(80)).await?;
    assert_eq!(client.call("portforward:subscribe", json!({})).await?, Value::Null);
    assert_eq!(client.call("portforward:subscribe", json!({})).await?, Value::Null);
    let (id, _) = client.forward("sts", "db", json!(5432)).await?;
    for event in ["started", "active"] {
        client.event(|told| told["event"] == event && told["id"] == id).await?;
    }
    let pod = client.call("portforward:list", json!({})).await?[1]["pod"].clone();
    world.sandbox.delete("pod", "default", pod.as_str().unwrap_or_default())?;
    let told = client.event(|told| told["event"] == "retargeted" && told["id"] == id).await?;
    assert_eq!((&told["from"], &told["target"]), (&pod, &json!("sts/db")));
    // Another client's doing is told as well.
    let mut other = world.client().await?;
    other.call("portforward:stop", json!({ "id": before })).await?;
    let told = client.event(|told| told["event"] == "stopped").await?;
    assert_eq!((&told["id"], &told["by"]), (&json!(before), &json!("request")));
    assert!(other.events.is_empty(), "it did not subscribe");
    Ok(())
}

/// A process that somebody started in a terminal answers as well, and its last answer comes before it ends.
#[tokio::test]
async fn a_process_that_ends_with_its_last_forward() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (forward, _) = world.working("svc/web :80").await?;
    let mut client = world.client().await?;
    client.forward("pod", "solo", json!(8080)).await?;
    let mut watcher = ControlClient::connect(&world.socket()?).await?;
    watcher.call("portforward:subscribe", json!({})).await?;
    assert_eq!(client.call("portforward:stopAll", json!({})).await?, 2);
    for _ in 0..2 {
        watcher.event(|told| told["event"] == "stopped").await?;
    }
    assert_eq!(watcher.next().await?, None);
    assert_eq!(forward.wait().await?.code, Some(0));
    Ok(())
}

/// A start that takes long holds up nothing, and one is undone by the stop of everything.
#[tokio::test]
async fn a_slow_start() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let mut slow = world.client().await?;
    let params = json!({ "resource_type": "pod", "name": "stuck", "remote_port": 8080 });
    let request = json!({ "jsonrpc": "2.0", "id": "slow", "method": "portforward:start", "params": params });
    slow.say(&request.to_string()).await?;
    world.listed("it to wait", |all| all.len() == 1 && all[0]["state"] == "waiting").await?;
    slow.say(r#"{"jsonrpc":"2.0","id":"quick","method":"portforward:list"}"#).await?;
    let quick = slow.next().await?.ok_or("no answer")?;
    assert_eq!((&quick["id"], quick["result"].as_array().map(Vec::len)), (&json!("quick"), Some(1)));
    client.call("portforward:stopAll", json!({})).await?;
    let answer = slow.next().await?.ok_or("no answer")?;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("slow"), &json!(-32000)));
    Ok(())
}
