//! `--detach`: what is said, what survives, and how it fails.

use serde_json::Value;

use crate::PROGRAM;
use sandbox::support::processes::{gone, is_alive, pid_of, port_in, signal};
use sandbox::support::{Test, World, ask};

#[tokio::test]
async fn it_returns_once_it_works() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let ran = world.succeed("-d svc/api :80 --name web").await?;
    let port = port_in(&ran.stdout)?;
    // kubectl's lines, and nothing else.
    assert!(ran.stdout.lines().all(|line| line.starts_with("Forwarding from ")), "{}", ran.stdout);
    let told =
        "svc/api:80: running in the background. Logs: kubectl fwd logs web. Stop: kubectl fwd stop web\n";
    assert_eq!(ran.stderr, told);
    ask(port).await?;
    let all = world.list().await?;
    assert_eq!((all.len(), &all[0]["label"]), (1, &"web".into()));
    world.succeed("stop web").await?;
    gone(pid_of(&all[0])?).await?;
    assert!(world.list().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn for_programs() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let ran = world.succeed("-d -o json svc/api :80 pod/solo :8080").await?;
    assert_eq!(ran.stderr, "");
    let events: Vec<Value> = ran.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let last = events.last().ok_or("no events")?;
    assert_eq!(last["event"], "detached");
    let all = world.list().await?;
    let mut ids: Vec<_> = all.iter().map(|forward| &forward["id"]).collect();
    ids.sort_by_key(ToString::to_string);
    let mut told: Vec<_> = last["ids"].as_array().ok_or("no ids")?.iter().collect();
    told.sort_by_key(ToString::to_string);
    assert_eq!((told, &last["pid"]), (ids, &all[0]["pid"]));
    assert!(events.iter().any(|event| event["event"] == "active" && event["target"] == "pod/solo"));
    let log = last["log"].as_str().ok_or("no log")?;
    assert!(std::fs::read_to_string(log)?.contains("\"event\":\"active\""));
    Ok(())
}

/// The error, its look and the status are those of a forward in the terminal.
#[tokio::test]
async fn errors_are_the_commands_own() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    for line in [
        "svc/apo :80".to_owned(),
        format!("svc/api {port}:80"),
        "pod/stuck :8080 --pod-running-timeout=1s".to_owned(),
        "svc/api 99999".to_owned(),
        "up none".to_owned(),
        "-o json svc/apo :80".to_owned(),
    ] {
        let (plain, detached) = (world.run(&line).await?, world.run(&format!("{line} --detach")).await?);
        // Which port is free next may change from one to the other.
        let [told, expected] =
            [&detached, &plain].map(|ran| ran.stderr.replace(|c: char| c.is_ascii_digit(), ""));
        assert_eq!((detached.code, told), (Some(1), expected), "{line}");
        let kinds = |stdout: &str| -> Vec<Value> {
            let events = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events.map(|event| event["event"].clone()).collect()
        };
        assert_eq!(kinds(&detached.stdout), kinds(&plain.stdout), "{line}");
    }
    assert_eq!(world.list().await?, [] as [Value; 0]);
    Ok(())
}

/// The terminal goes, with everything that belongs to it: `script` gives the command one of its own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_survives_its_terminal() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let told = world.path("told");
    let line =
        format!("{PROGRAM} -d svc/api :80 > {0} 2>&1; echo done >> {0}; exec sleep 1000", told.display());
    let mut terminal = world.in_terminal(&line).stdout(std::process::Stdio::null()).spawn()?;
    sandbox::support::within("the command in the terminal", async {
        while !std::fs::read_to_string(&told).is_ok_and(|text| text.contains("done")) {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let text = std::fs::read_to_string(&told)?;
    let port = port_in(&text)?;
    let forward = world.listed_count(1).await?.remove(0);
    // Its master end is closed: everything in its session gets a hang-up.
    terminal.kill().await?;
    terminal.wait().await?;
    ask(port).await?;
    let pid = pid_of(&forward)?;
    // And it has no terminal that could ever stop it again.
    let session =
        std::process::Command::new("ps").args(["-o", "sid=,tty=", "-p", &pid.to_string()]).output()?;
    let session = String::from_utf8(session.stdout)?;
    assert_eq!(session.split_whitespace().collect::<Vec<_>>(), [pid.to_string().as_str(), "?"]);
    Ok(())
}

#[tokio::test]
async fn interrupted_before_it_works() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let mut command = world.start("-d pod/stuck :8080")?;
    command.stderr("waiting for a ready pod").await?;
    let pid = pid_of(&world.listed_count(1).await?[0])?;
    let ended = command.end("INT").await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""));
    gone(pid).await
}

/// A process in the background that is stopped before it works says nothing, and the command says that.
#[tokio::test]
async fn one_that_says_nothing() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let mut command = world.start("-d pod/stuck :8080")?;
    command.stderr("waiting for a ready pod").await?;
    let pid = pid_of(&world.listed_count(1).await?[0])?;
    signal(pid, "STOP")?;
    command.stderr(&format!("waiting for the process in the background ({pid})")).await?;
    signal(pid, "CONT")?;
    assert_eq!(command.end("INT").await?.code, Some(130));
    gone(pid).await
}

/// Killed, it leaves a socket and no forward; the next one has the port.
#[tokio::test]
async fn killed_and_started_again() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let ran = world.succeed("-d svc/api :80").await?;
    let (port, pid) = (port_in(&ran.stdout)?, pid_of(&world.list().await?[0])?);
    signal(pid, "KILL")?;
    gone(pid).await?;
    assert!(world.list().await?.is_empty());
    let again = world.succeed(&format!("-d svc/api {port}:80")).await?;
    assert_eq!(port_in(&again.stdout)?, port);
    ask(port).await?;
    Ok(())
}

#[tokio::test]
async fn a_termination_ends_it_in_order() -> Test {
    let world = World::with_background(PROGRAM).await?;
    for name in ["TERM", "HUP"] {
        world.succeed("-d svc/api :80").await?;
        let pid = pid_of(&world.list().await?[0])?;
        assert!(is_alive(pid));
        signal(pid, name)?;
        gone(pid).await?;
        let left: Vec<_> = std::fs::read_dir(world.path("kubectl-fwd"))?
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "sock"))
            .collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
    Ok(())
}

/// What has to ask somebody cannot do so in the background.
#[tokio::test]
async fn a_plugin_that_asks_questions() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let text = std::fs::read_to_string(world.sandbox.kubeconfig("admin"))?;
    let mut config: Value = serde_json::from_str(&text)?;
    config["users"][0]["user"] = serde_json::json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "exit 1"],
        "interactiveMode": "Always",
    } });
    let path = world.write("asks", &config.to_string())?;
    let ran = world.run(&format!("-d svc/api :80 --kubeconfig {}", path.display())).await?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("it has to ask questions"), "{}", ran.stderr);
    assert!(ran.stderr.contains("run this in a terminal once to log in"), "{}", ran.stderr);
    Ok(())
}
