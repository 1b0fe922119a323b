//! `examples/control.py`, which knows nothing but docs/CONTROL.md.

use std::process::Stdio;

use sandbox::support::forward::Ended;
use serde_json::Value;
use tokio::process::Command;

use sandbox::support::control::pid;
use sandbox::support::{Failure, Test, World, ask, connect, within};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/control.py");

fn python(world: &World, line: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(SCRIPT)
        .args(line.split_whitespace())
        // Both of the places where it looks: this test's alone.
        .env("XDG_RUNTIME_DIR", world.sandbox.directory())
        .env("TMPDIR", world.sandbox.directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(world: &World, line: &str) -> Result<Ended, Failure> {
    Ok(within(line, python(world, line).output()).await??.try_into()?)
}

#[tokio::test]
async fn the_client_in_python() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, _client) = world.served().await?;
    let server = pid(&world.socket()?)?;
    let (_forward, _) = world.working("pod/solo :8080").await?;

    let mut watch = sandbox::support::forward::Forward::spawn(python(&world, "watch"))?;
    watch.stdout("watching 2").await?;
    let started = run(&world, &format!("start {server} svc web 80")).await?;
    assert_eq!((started.code, started.stderr.as_str()), (Some(0), ""));
    let id = started.stdout.trim();
    let told: Value = serde_json::from_str(&watch.stdout("\"active\"").await?)?;
    assert_eq!((&told["id"], &told["target"]), (&id.into(), &"svc/web".into()));

    let listed = run(&world, "list").await?;
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 2), "{listed:?}");
    let all = world.list().await?;
    let mine = all.iter().find(|one| one["id"] == id).ok_or("it is not listed")?;
    assert!(
        listed.stdout.contains(&format!("{id} svc/web localhost:{} active", mine["localPort"])),
        "{listed:?}"
    );
    let port = u16::try_from(mine["localPort"].as_u64().unwrap_or_default())?;
    ask(port).await?;

    let refused = run(&world, &format!("start {server} svc web 81 {port}")).await?;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("port 81") && !refused.stderr.contains("Traceback"), "{refused:?}");
    let unknown = run(&world, &format!("stop {id} nothing")).await?;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("none was stopped"), "{unknown:?}");
    ask(port).await?;

    let stopped = run(&world, &format!("stop {id}")).await?;
    assert_eq!((stopped.code, stopped.stderr.as_str()), (Some(0), ""));
    watch.stdout("\"stopped\"").await?;
    assert!(connect(port).await.is_err());
    assert_eq!(world.list().await?.len(), 1);
    let usage = run(&world, "nonsense").await?;
    assert!(usage.code == Some(1) && usage.stderr.contains("control.py list"), "{usage:?}");
    Ok(())
}
