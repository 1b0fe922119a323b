//! `kubectl fwd stop`.

use serde_json::Value;

use sandbox::support::{Test, World, answer, ask, connect, refused, rest, send, within};

fn id(all: &[Value], target: &str, remote: &str) -> String {
    let of =
        |one: &&Value| one["target"] == target && one["remotePort"].to_string().trim_matches('"') == remote;
    all.iter().find(of).and_then(|one| one["id"].as_str()).unwrap_or_default().to_owned()
}

/// One ends, the others of its process and of its target work on; with the last one the process ends.
#[tokio::test]
async fn one_of_several() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let mut forward = world.start("svc/api :http :9000 pod/solo :8080")?;
    let (http, echo, solo) = (forward.port().await?, forward.port().await?, forward.port().await?);
    let all = world.list().await?;
    let api = id(&all, "svc/api", "http");
    let told = world.told(&format!("stop {api}")).await?;
    assert_eq!(told, format!("svc/api:http (localhost:{http}) stopped\n"));
    assert!(connect(http).await.is_err(), "a stopped forward accepts");
    forward.stderr(&format!("svc/api:http (localhost:{http}) stopped")).await?;
    let mut stream = connect(echo).await?;
    within("the echo", async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        stream.write_all(b"hello").await?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.map(|_| bytes)
    })
    .await??;
    drop(stream);
    assert_eq!(ask(solo).await?, "solo");
    assert_eq!(world.list().await?.len(), 2);
    world.told(&format!("stop {solo}")).await?;
    assert!(connect(solo).await.is_err());
    world.told("stop service/api").await?;
    let ended = forward.wait().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr.matches("stopped").count(), 3, "{}", ended.stderr);
    assert!(world.sockets()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn words_that_mean_nothing_stop_nothing() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_one, port) = world.working("svc/api :http").await?;
    let (_two, _) = world.working("prod/svc/api :http").await?;
    let (_three, _) = world.working("pod/solo :8080").await?;
    for (words, says) in [
        ("svc/apy", "did you mean 'svc/api'?"),
        ("aaaaaaaaaaaaaaa", "all forwards: kubectl fwd list"),
        ("pod/solo svc/nothing", "none was stopped"),
        ("", "which forwards?"),
        ("--all pod/solo", "--all"),
        ("1", "no forward listens on this port"),
    ] {
        let ran = world.run(&format!("stop {words}")).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{words}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("help: "), "{words}: {}", ran.stderr);
    }
    assert_eq!(world.list().await?.len(), 3);
    ask(port).await?;
    Ok(())
}

#[tokio::test]
async fn all_of_them() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let none = world.succeed("stop --all").await?;
    assert_eq!(none.stdout, "");
    assert!(none.stderr.starts_with("No forwards are running. "), "{none:?}");
    let (one, _) = world.working("svc/api :http :9000").await?;
    let (two, _) = world.working("pod/solo :8080").await?;
    assert_eq!(world.told("stop --all").await?, "3 forwards stopped\n");
    for forward in [one, two] {
        assert_eq!(forward.wait().await?.code, Some(0));
    }
    Ok(())
}

/// What is under way is finished; what would take too long is cut, and looks like it.
#[tokio::test]
async fn traffic_drains() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (forward, port) = world.working("pod/solo :8080").await?;
    let (_other, other) = world.working("svc/web :80").await?;
    let load = sandbox::support::load::Load::start(port);
    let beside = sandbox::support::load::Load::start(other);
    within("traffic", load.until(|counts| counts.answered > 50)).await?;
    let mut slow = send(port, "/slow?ms=1000").await?;
    let mut endless = send(port, "/bytes?n=100000000000").await?;
    endless.readable().await?;
    world
        .listed("both under way", |all| {
            all.iter()
                .any(|one| one["target"] == "pod/solo" && one["connections"]["open"].as_u64() >= Some(2))
        })
        .await?;
    let reading = tokio::spawn(async move { tokio::io::copy(&mut endless, &mut tokio::io::sink()).await });
    world.told(&format!("stop {port}")).await?;
    refused(port).await?;
    assert_eq!(answer(&mut slow).await?, b"solo\n");
    assert_eq!(rest(&mut slow).await?, b"");
    assert_eq!(forward.wait().await?.code, Some(0));
    assert!(within("the end of the download", reading).await??.is_err(), "a cut download looks whole");
    let answered = beside.counts().answered;
    within("the other's traffic", beside.until(|counts| counts.answered > answered + 50)).await?;
    assert_eq!(beside.stop().await.failed, 0);
    drop(load);
    Ok(())
}

/// One that does not work yet is listed, and can be stopped.
#[tokio::test]
async fn before_it_worked() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let mut forward = world.start("pod/stuck :8080")?;
    forward.stderr("waiting for a ready pod").await?;
    let all = world.listed("it", |all| all.len() == 1).await?;
    assert_eq!((&all[0]["state"], &all[0]["pod"]), (&"waiting".into(), &Value::Null));
    world.told("stop pod/stuck").await?;
    let ended = forward.wait().await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("stopped before it worked"), "{}", ended.stderr);
    Ok(())
}

/// One that hangs is told, and the others are stopped all the same. It does what it was asked once it can.
#[tokio::test]
async fn beside_one_that_hangs() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (hung, _) = world.working("svc/web :80").await?;
    let (other, solo) = world.working("pod/solo :8080").await?;
    hung.signal("STOP").await?;
    let ran = world.run("stop --all").await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1 forward stopped\n"));
    assert!(ran.stderr.contains("is suspended") && ran.stderr.contains("kill -CONT"), "{ran:?}");
    assert_eq!(other.wait().await?.code, Some(0));
    assert!(connect(solo).await.is_err());
    hung.signal("CONT").await?;
    assert_eq!(hung.wait().await?.code, Some(0));
    Ok(())
}

/// A process that ends while it is asked is not one that hangs.
#[tokio::test]
async fn one_that_is_just_ending() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (forward, _) = world.working("svc/web :80").await?;
    let ours = world.socket()?;
    // In its name: a process that takes the connection, and closes it together with its socket.
    let name = ours.with_file_name("4000000000-0000.sock");
    let listener = tokio::net::UnixListener::bind(&name)?;
    let ending = tokio::spawn(async move {
        let accepted = listener.accept().await;
        std::fs::remove_file(name)?;
        accepted.map(drop)
    });
    let ran = world.run("stop --all").await?;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "1 forward stopped\n", ""));
    within("the end", ending).await???;
    assert_eq!(forward.wait().await?.code, Some(0));
    Ok(())
}
