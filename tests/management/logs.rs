//! `logs`: of what runs in the background, and of what did.

use sandbox::support::processes::{gone, id_in, pid_of, port_in, signal};
use sandbox::support::{Test, World};

#[tokio::test]
async fn by_whatever_names_it() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let ran = world.succeed("-d svc/api :80 --name web").await?;
    let (name, port) = (id_in(&ran.stderr)?, port_in(&ran.stdout)?);
    let id = world.list().await?[0]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(name, "web");
    for word in [id.as_str(), "web", &port.to_string(), "svc/api"] {
        let log = world.succeed(&format!("logs {word}")).await?.stdout;
        let line = log.lines().find(|line| line.contains("Forwarding from 127.0.0.1:")).ok_or("no line")?;
        assert!(line.contains(&port.to_string()) && line.starts_with("20") && line.contains("Z "), "{line}");
    }
    let unknown = world.run("logs wbe").await?;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("did you mean 'web'?"), "{unknown:?}");
    let (_terminal, port) = world.working("pod/solo :8080").await?;
    let none = world.run(&format!("logs {port}")).await?;
    assert!(none.code == Some(1) && none.stderr.contains("does not run in the background"), "{none:?}");
    Ok(())
}

/// What comes is printed as it comes, and the end of the process is the end of it.
#[tokio::test]
async fn followed_to_the_end() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.sandbox.scale("sts", "default", "db", 1)?;
    world.sandbox.settled().await?;
    let id = id_in(&world.succeed("-d sts/db :8080").await?.stderr)?;
    let mut logs = world.start(&format!("logs -f {id}"))?;
    logs.stdout("Forwarding from").await?;
    world.sandbox.delete("pod", "default", "db-0")?;
    logs.stdout("waiting for a ready pod").await?;
    logs.stdout("now using the new pod db-0").await?;
    world.succeed(&format!("stop {id}")).await?;
    let ended = logs.wait().await?;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.trim_end().ends_with(" stopped"), "{}", ended.stdout);
    // It is there still, for whoever wonders what has become of it.
    assert_eq!(world.succeed(&format!("logs {id}")).await?.stdout, ended.stdout);
    Ok(())
}

/// A log that somebody empties, or moves away, goes on, and so does whoever follows it.
#[tokio::test]
async fn cut_and_moved_away() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let id = id_in(&world.succeed("-d svc/api :80 svc/web :80").await?.stderr)?;
    let mut logs = world.start(&format!("logs -f {id}"))?;
    logs.stdout("in the background as").await?;
    let directory = world.path("kubectl-fwd");
    let log = std::fs::read_dir(&directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "log"))
        .ok_or("no log")?;
    std::fs::write(&log, "")?;
    world.sandbox.scale("deploy", "default", "web", 0)?;
    let line = logs.stdout("svc/web: waiting for a ready pod").await?;
    std::fs::rename(&log, directory.join("old"))?;
    world.sandbox.scale("deploy", "default", "web", 1)?;
    logs.stdout("svc/web: ").await?;
    world.succeed("stop --all").await?;
    let ended = logs.wait().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.matches(&line).count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.trim_end().ends_with(" stopped"), "{}", ended.stdout);
    Ok(())
}

#[tokio::test]
async fn interrupted() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let id = id_in(&world.succeed("-d svc/api :80").await?.stderr)?;
    let mut logs = world.start(&format!("logs {id} --follow"))?;
    logs.stdout("Forwarding from").await?;
    assert_eq!(logs.end("INT").await?.code, Some(0));
    assert_eq!(world.list().await?.len(), 1);
    Ok(())
}

/// A process that is gone keeps its log for a while; those of long ago are swept.
#[tokio::test]
async fn swept() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let id = id_in(&world.succeed("-d svc/api :80").await?.stderr)?;
    let pid = pid_of(&world.list().await?[0])?;
    signal(pid, "KILL")?;
    gone(pid).await?;
    assert!(world.succeed(&format!("logs {id}")).await?.stdout.contains("Forwarding from"));
    let directory = world.path("kubectl-fwd");
    for count in 0..40 {
        // No process has these numbers: they are beyond what systems give.
        for end in ["log", "json"] {
            std::fs::write(directory.join(format!("{}-0000.{end}", 4_000_000_000_u32 + count)), "")?;
        }
    }
    world.succeed("-d svc/api :80").await?;
    let logs = std::fs::read_dir(directory)?.flatten();
    let logs = logs.filter(|entry| entry.path().extension().is_some_and(|end| end == "log")).count();
    assert_eq!(logs, 17, "16 of the dead, and one of the living");
    let records = std::fs::read_dir(world.path("kubectl-fwd"))?.flatten();
    let records = records.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count();
    assert_eq!(records, 17);
    Ok(())
}
