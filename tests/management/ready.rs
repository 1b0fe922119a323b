//! `--ready-file`: what a script waits for.

use std::path::Path;

use sandbox::support::forward::{self, Forward};
use serde_json::Value;

use crate::PROGRAM;
use sandbox::support::{Test, World, ask, within};

async fn read(path: &Path) -> Result<Value, sandbox::support::Failure> {
    within("the ready file", async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    // Whole from the first moment on.
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

#[tokio::test]
async fn there_while_it_works() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let path = world.path("ready.json");
    let forward = world.start("svc/api :80 sts/db :8080 --name x --ready-file ready.json")?;
    let ready = read(&path).await?;
    let targets: Vec<_> =
        ready["forwards"].as_array().ok_or("no forwards")?.iter().map(|one| &one["target"]).collect();
    assert_eq!(targets, ["svc/api", "sts/db"]);
    let first = &ready["forwards"][0];
    assert_eq!(
        (&first["label"], &first["state"], &first["remotePort"], &first["pid"]),
        (&"x".into(), &"active".into(), &80.into(), &ready["pid"])
    );
    assert!(first["pod"].is_string());
    for one in ready["forwards"].as_array().into_iter().flatten() {
        ask(one["localPort"].as_u64().and_then(|port| port.try_into().ok()).ok_or("no port")?).await?;
    }
    let listed = world.list().await?;
    let keys = |forward: &Value| forward.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(first), keys(&listed[0]), "the shape is that of a list");
    assert_eq!(forward.end("TERM").await?.code, Some(0));
    assert!(!path.exists());
    Ok(())
}

/// Not before everything works: one target has no pod yet.
#[tokio::test]
async fn not_too_early() -> Test {
    let world = World::with_background(PROGRAM).await?;
    world.sandbox.scale("sts", "default", "db", 0)?;
    world.sandbox.settled().await?;
    let path = world.path("ready.json");
    let mut forward = world.start("svc/api :80 sts/db :8080 --ready-file ready.json")?;
    forward.port().await?;
    forward.stderr("sts/db: waiting").await?;
    assert!(!path.exists());
    world.sandbox.scale("sts", "default", "db", 1)?;
    read(&path).await?;
    forward.end("INT").await?;
    assert!(!path.exists());
    Ok(())
}

#[tokio::test]
async fn what_was_there_before() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let path = world.write("ready.json", "{\"pid\":1,\"forwards\":[]}")?;
    let mut stuck = world.start("pod/stuck :8080 --ready-file ready.json")?;
    stuck.stderr("waiting").await?;
    assert!(!path.exists(), "a killed process's file is nobody's");
    assert_eq!(stuck.end("INT").await?.code, Some(130));
    // What is not a ready file is somebody's.
    world.write("ready.json", "precious")?;
    for (line, words) in [
        ("svc/api :80 --ready-file ready.json", "ready.json is not a ready file"),
        ("svc/api :80 --ready-file none/ready.json", "cannot write the ready file none/ready.json"),
        ("svc/api :80 --ready-file .", "cannot write the ready file"),
        ("-d svc/api :80 --ready-file ready.json", "ready.json is not a ready file"),
    ] {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        assert!(ran.stderr.contains(words) && ran.stderr.contains("help: "), "{line}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(path)?, "precious");
    let left: Vec<_> = std::fs::read_dir(world.path("."))?.flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("tmp")), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn in_the_background() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let path = world.path("ready.json");
    world.succeed("-d svc/api :80 --ready-file ready.json").await?;
    assert!(path.exists(), "it is there when the command returns");
    world.succeed("stop --all").await?;
    within("the end of the file", async {
        while path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// What another process wrote is its own: a start that fails leaves it alone, one that works takes its place, and the end
/// of the first is not the end of the second's.
#[tokio::test]
async fn of_several_processes() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let path = world.path("ready.json");
    let first = world.start("svc/api :80 --ready-file ready.json")?;
    let written = read(&path).await?;
    let failed = world.run("svc/nope :80 --ready-file ready.json").await?;
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(read(&path).await?, written);
    let mut waits = world.start("pod/stuck :8080 --ready-file ready.json")?;
    waits.stderr("waiting").await?;
    assert_eq!(read(&path).await?, written);
    assert_eq!(waits.end("INT").await?.code, Some(130));
    assert_eq!(read(&path).await?, written);
    let second = world.start("svc/api :80 --ready-file ready.json")?;
    let pid = second.pid();
    within("the second one's file", async {
        while read(&path).await?["pid"].as_u64() != pid.map(u64::from) {
            tokio::task::yield_now().await;
        }
        Ok::<_, sandbox::support::Failure>(())
    })
    .await??;
    assert_eq!(first.end("TERM").await?.code, Some(0));
    assert_eq!(read(&path).await?["pid"].as_u64(), pid.map(u64::from));
    // What somebody put in its place is not removed.
    std::fs::remove_file(&path)?;
    world.write("ready.json", &format!("{{\"pid\":{},\"forwards\":[]}}", pid.unwrap_or_default()))?;
    assert_eq!(second.end("TERM").await?.code, Some(0));
    assert!(path.exists(), "a file that it did not write was removed");
    Ok(())
}

/// What can be neither read to an end nor replaced is told, and not waited for.
#[tokio::test]
async fn what_is_no_file() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let pipe = world.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    for path in ["pipe", "/dev/zero", "/dev/null"] {
        let ran = world.run(&format!("svc/api :80 --ready-file {path}")).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{path}");
        assert!(ran.stderr.contains(&format!("{path} is not a ready file")), "{path}: {}", ran.stderr);
    }
    assert!(pipe.exists());
    Ok(())
}

/// A disk that takes nothing more ends the start, and leaves nothing on it.
#[tokio::test]
async fn on_a_full_disk() -> Test {
    let world = World::with_background(PROGRAM).await?;
    // To the program a file that may have no byte is the same.
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {PROGRAM} svc/api :80 --ready-file ready.json");
    let mut command = forward::command(Path::new("sh"), &world.sandbox.kubeconfig("admin"), &["-c", &script]);
    command.current_dir(world.sandbox.directory());
    let ended = Forward::spawn(command)?.wait().await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write the ready file ready.json"), "{}", ended.stderr);
    let left: Vec<_> = std::fs::read_dir(world.path("."))?.flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("ready")), "{left:?}");
    Ok(())
}
