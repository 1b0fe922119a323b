//! `save --auto`: a set that follows what happens.

use sandbox::support::processes::{gone, id_in, pid_of, port_in, signal};
use sandbox::support::{Test, World, ask};

#[tokio::test]
async fn it_follows_those_that_come_and_go() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("save --auto work").await?;
    let (first, _) = world.working("svc/api :80").await?;
    world.set_becomes("work", "the first", |text| text.contains("svc/api")).await?;
    let second = id_in(&world.succeed("-d svc/web :80 pod/solo :8080").await?.stderr)?;
    world
        .set_becomes("work", "the others", |text| text.contains("pod/solo") && text.contains("svc/web"))
        .await?;
    world.succeed(&format!("stop {second}")).await?;
    world
        .set_becomes("work", "one less", |text| !text.contains("svc/web") && text.contains("pod/solo"))
        .await?;
    // Ctrl-C is a person's word.
    assert_eq!(first.end("INT").await?.code, Some(0));
    world
        .set_becomes("work", "another less", |text| !text.contains("svc/api") && text.contains("pod/solo"))
        .await?;
    // Other sets are left alone.
    assert_eq!(
        std::fs::read_dir(world.path("kubectl-fwd/sets"))?
            .flatten()
            .filter(|entry| entry.path().extension().is_some())
            .count(),
        1
    );
    Ok(())
}

/// The machine goes down: some are terminated, some just gone. All of them come back.
#[tokio::test]
async fn a_reboot() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let api = port_in(&world.succeed("-d svc/api :80 --name web").await?.stdout)?;
    world.succeed("save --auto work").await?;
    let (solo, _) = world.working("pod/solo :8080").await?;
    world.set_becomes("work", "both", |text| text.contains("svc/api") && text.contains("pod/solo")).await?;
    let all = world.list().await?;
    let before = world.set("work")?;
    let killed = all.iter().find(|one| one["label"] == "web").ok_or("no web")?;
    signal(pid_of(killed)?, "KILL")?;
    gone(pid_of(killed)?).await?;
    assert_eq!(solo.end("TERM").await?.code, Some(0));
    assert_eq!(world.set("work")?, before);
    let up = world.succeed("up -d work").await?;
    assert_eq!(up.stdout.matches("Forwarding from 127.0.0.1:").count(), 2, "{}", up.stdout);
    ask(api).await?;
    let again = world.list().await?;
    assert_eq!(again.len(), 2);
    assert!(again.iter().any(|one| one["label"] == "web"));
    assert_eq!(world.set("work")?, before, "what is there again was never gone");
    world.succeed("stop --all").await?;
    world.set_becomes("work", "nothing", |text| text.contains("forwards: []")).await?;
    let empty = world.run("up work").await?;
    assert!(empty.code == Some(1) && empty.stderr.contains("work.yaml has no forwards"), "{empty:?}");
    Ok(())
}

/// A kubeconfig is the same one however its path is written.
#[tokio::test]
async fn a_kubeconfig_relative_to_the_set() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("save --auto work").await?;
    let text = std::fs::read_to_string(world.sandbox.kubeconfig("admin"))?;
    let beside = world.write("beside", &text)?;
    let set = "auto: true\nkubeconfig: ../../beside\nforwards: [{target: svc/api, ports: ':80'}]\n";
    std::fs::write(world.path("kubectl-fwd/sets/work.yaml"), set)?;
    let (up, _) = world.working("up work").await?;
    let (solo, _) = world.working(&format!("pod/solo :8080 --kubeconfig {}", beside.display())).await?;
    world.set_becomes("work", "both", |text| text.contains("pod/solo") && text.contains("svc/api")).await?;
    assert!(world.set("work")?.contains("kubeconfig: \"../../beside\""), "{}", world.set("work")?);
    assert_eq!(up.end("INT").await?.code, Some(0));
    assert_eq!(solo.end("INT").await?.code, Some(0));
    world.set_becomes("work", "none", |text| text.contains("forwards: []")).await
}

/// A group that does not come about was never there.
#[tokio::test]
async fn what_never_worked() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("save --auto work").await?;
    let before = world.set("work")?;
    let ran = world.run("svc/api :80 pod/stuck :8080 --pod-running-timeout 1s").await?;
    assert_eq!(ran.code, Some(1));
    assert_eq!(world.set("work")?, before);
    Ok(())
}

/// A mistake made by hand is told, and what was written stays.
#[tokio::test]
async fn a_broken_set_is_left_alone() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("save --auto work").await?;
    let path = world.path("kubectl-fwd/sets/work.yaml");
    std::fs::write(&path, "auto: true\nforwards: [{target: svc/api}]\n")?;
    let mut forward = world.start("pod/solo :8080")?;
    forward.stderr("it is not kept current").await?;
    forward.end("INT").await?;
    assert_eq!(std::fs::read_to_string(path)?, "auto: true\nforwards: [{target: svc/api}]\n");
    Ok(())
}

/// Two processes at the same time lose nothing of each other's.
#[tokio::test]
async fn many_at_once() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("save --auto work").await?;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(world.start("svc/api :80 pod/solo :8080")?);
    }
    let count = |text: &str| text.matches(":80\"").count() + text.matches(":8080\"").count();
    world.set_becomes("work", "all of them", |text| count(text) == 8).await?;
    for forward in all {
        assert_eq!(forward.end("INT").await?.code, Some(0));
    }
    world.set_becomes("work", "none", |text| count(text) == 0).await
}
