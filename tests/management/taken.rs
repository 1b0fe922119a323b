//! Local ports that are taken: by whom, and how they are taken over.

use sandbox::support::processes::port_in;
use sandbox::support::{Test, World, ask, refused};
use serde_json::{Value, json};

fn id_of(all: &[Value], target: &str) -> String {
    let found = all.iter().find(|one| one["target"] == target);
    found.and_then(|one| one["id"].as_str()).unwrap_or_default().to_owned()
}

/// A forward of one's own is named, with what stops it; a port of another program is told as before.
#[tokio::test]
async fn whose_port_it_is() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let port = port_in(&world.succeed("-d svc/api :80").await?.stdout)?;
    let id = id_of(&world.list().await?, "svc/api");
    for line in [format!("svc/web {port}:80"), format!("-d pod/solo {port}:8080 --address 127.0.0.1")] {
        let ran = world.run(&line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        for part in [
            format!("error: local port {port} is taken by another forward of yours\n"),
            format!("because: svc/api:80 ({id}, process "),
            format!("help: stop it: kubectl fwd stop {id}; or take its place: add --replace"),
        ] {
            assert!(ran.stderr.contains(&part), "{line}: {}", ran.stderr);
        }
    }
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = other.local_addr()?.port();
    for line in [format!("svc/web {taken}:80"), format!("svc/web {taken}:80 --replace")] {
        let ran = world.run(&line).await?;
        assert_eq!(ran.code, Some(1), "{line}");
        assert!(ran.stderr.contains(&format!("local port {taken} is taken (127.0.0.1:{taken})")), "{ran:?}");
    }
    Ok(())
}

/// The forward that has the port is stopped, the others of its process are not, and connections go to the new one.
#[tokio::test]
async fn taken_over() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let mut old = world.start("svc/api :80 pod/solo :8080")?;
    let (port, solo) = (old.port().await?, old.port().await?);
    let (new, again) = world.working(&format!("svc/web {port}:80 --replace")).await?;
    assert_eq!(again, port);
    assert!(ask(port).await?.starts_with("web-"), "another pod answers");
    assert_eq!(ask(solo).await?, "solo");
    let all = world.listed_count(2).await?;
    assert_eq!(id_of(&all, "svc/api"), "");
    assert_eq!(new.end("INT").await?.code, Some(0));
    refused(port).await?;
    // A Unix socket, and a process whose only forward it was.
    let path = world.path("s.sock");
    let mut first = world.start(&format!("svc/api unix:{}:80", path.display()))?;
    first.stdout("Forwarding from").await?;
    let line = format!("-d svc/web unix:{}:80", path.display());
    let ran = world.run(&line).await?;
    assert!(ran.stderr.contains("is taken by another forward of yours"), "{ran:?}");
    world.succeed(&format!("{line} --replace")).await?;
    assert_eq!(first.wait().await?.code, Some(0));
    Ok(())
}

/// Nothing is stopped for a start that fails: of a target that is not there or has no pod, or at a port of somebody else.
#[tokio::test]
async fn not_in_vain() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let (_old, port) = world.working("svc/api :80").await?;
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = other.local_addr()?.port();
    for (line, says) in [
        (format!("svc/web {port}:80 svc/apo :80 --replace"), "no service apo"),
        (format!("svc/web {port}:80 pod/solo {taken}:8080 --replace"), "is taken ("),
        (format!("pod/stuck {port}:8080 --replace --pod-running-timeout 1s"), "stuck"),
    ] {
        let ran = world.run(&line).await?;
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{line}: {ran:?}");
        assert!(ask(port).await?.starts_with("api-"), "{line}");
    }
    Ok(())
}

/// The same for programs, of which one may replace a forward of its own.
#[tokio::test]
async fn for_programs() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let (id, port) = client.forward("service", "api", json!(80)).await?;
    let mut params =
        json!({ "resource_type": "service", "name": "web", "remote_port": 80, "local_port": port });
    let error = client.ask("portforward:start", params.clone()).await?.unwrap_err();
    assert_eq!(error["data"]["code"], "fwd::port::in_use", "{error}");
    let because = error["data"]["because"][0].as_str().ok_or("no reason")?;
    assert_eq!(because, format!("svc/api:80 ({id}, this process) listens there"));
    params["replace"] = true.into();
    let new = client.call("portforward:start", params).await?;
    let all = client.call("portforward:list", json!({})).await?;
    assert_eq!((all.as_array().map(Vec::len), &all[0]["id"]), (Some(1), &new));
    assert!(ask(port).await?.starts_with("web-"));
    Ok(())
}
