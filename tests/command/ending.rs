//! Ends: of the command, of the forwards, and by signals.

use std::process::Stdio;

use sandbox::support::{
    Test, World, ask,
    forward::{Ended, Forward},
    refused, within,
};

use crate::{PROGRAM, SCRIPT, beside, port, script};

#[tokio::test]
async fn its_status_is_ours() -> Test {
    let world = World::new(PROGRAM).await?;
    world.write("plain", "text")?;
    for (words, status, says) in [
        (&["true"][..], 0, ""),
        (&["sh", "-c", "exit 42"], 42, ""),
        (&["sh", "-c", "kill -KILL $$"], 137, ""),
        (&["sh", "-c", "kill -SEGV $$"], 139, ""),
        (&["kubectl-fwd-no-such-command"], 127, "the command kubectl-fwd-no-such-command was not found"),
        (&["./plain"], 126, "the command ./plain cannot be executed"),
    ] {
        let ran: Ended = within("it", beside(&world, "svc/api :80", words).output()).await??.try_into()?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(status), ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says) && ran.stderr.is_empty() == says.is_empty(), "{}", ran.stderr);
    }
    Ok(())
}

/// Each signal reaches the command, as often as it comes, and ends nothing by itself.
#[tokio::test]
async fn signals_are_passed_on() -> Test {
    let world = World::new(PROGRAM).await?;
    let traps =
        "for name in INT TERM HUP USR1 QUIT; do trap \"echo got $name\" $name; done; trap 'exit 5' USR2
        echo port $FWD_PORT; while :; do sleep 0.01; done";
    let (mut forward, _stdin) = script(&world, "svc/api :80", traps)?;
    let port = port(&mut forward).await?;
    for name in ["TERM", "HUP", "INT", "INT", "TERM", "USR1", "QUIT"] {
        forward.signal(name).await?;
        forward.stdout(&format!("got {name}")).await?;
    }
    ask(port).await?;
    let ended = forward.end("USR2").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(5), ""));
    refused(port).await
}

#[tokio::test]
async fn one_that_would_never_end() -> Test {
    let world = World::new(PROGRAM).await?;
    for (signal, status) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let (mut forward, _stdin) = script(&world, "svc/api :80", "echo port $FWD_PORT; exec sleep 1000")?;
        let port = port(&mut forward).await?;
        let ended = forward.end(signal).await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(status), ""), "{signal}");
        refused(port).await?;
    }
    assert!(world.sockets()?.is_empty());
    Ok(())
}

/// What the command leaves behind holds its stdout, and nobody waits for that.
#[tokio::test]
async fn what_it_leaves_behind() -> Test {
    let world = World::new(PROGRAM).await?;
    let mut command = beside(&world, "svc/api :80", &["sh", "-c", "sleep 1000 & echo $! > pid; exit 4"]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let status = within("the end", child.wait()).await??;
    let left = std::fs::read_to_string(world.path("pid"))?;
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill {left}")]).status()?;
    assert_eq!((status.code(), killed.success()), (Some(4), true));
    Ok(())
}

/// Stopped by somebody: the command is asked to end, and may say no.
#[tokio::test]
async fn the_forwards_end_first() -> Test {
    let world = World::new(PROGRAM).await?;
    let (mut forward, _stdin) = script(&world, "svc/api :80", SCRIPT)?;
    port(&mut forward).await?;
    world.succeed("stop --all").await?;
    let ended = forward.wait().await?;
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("svc/api"), "{}", ended.stderr);

    let (mut forward, mut stdin) = script(
        &world,
        "svc/api :80",
        "trap 'echo asked' TERM; echo port $FWD_PORT; until read line; do :; done; exit 3",
    )?;
    port(&mut forward).await?;
    world.succeed("stop --all").await?;
    forward.stdout("asked").await?;
    crate::say(&mut stdin, "now").await?;
    assert_eq!(forward.wait().await?.code, Some(3));
    Ok(())
}

#[tokio::test]
async fn given_up() -> Test {
    let world = World::new(PROGRAM).await?;
    let (mut forward, _stdin) = script(&world, "svc/api :80 --give-up --log log.txt", SCRIPT)?;
    port(&mut forward).await?;
    world.sandbox.stop_api().await;
    let ended = forward.wait().await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error: cannot forward to pod ").count(), 1, "{}", ended.stderr);
    let log = std::fs::read_to_string(world.path("log.txt"))?;
    assert!(log.contains("Z error: cannot forward to pod "), "{log}");
    Ok(())
}

/// Interrupted before anything works: the command never runs.
#[tokio::test]
async fn interrupted_before() -> Test {
    let world = World::new(PROGRAM).await?;
    let command = beside(&world, "pod/stuck :8080", &["touch", "ran"]);
    let mut forward = Forward::spawn(command)?;
    forward.stderr("waiting").await?;
    let ended = forward.end("INT").await?;
    assert_eq!((ended.code, world.path("ran").exists()), (Some(130), false));
    Ok(())
}
