//! What is told of forwards in the background that have ended, and of those that cannot tell.

use sandbox::support::processes::{gone, pid_of, port_in, signal};
use sandbox::support::{Failure, Test, World};
use serde_json::Value;

async fn ended(world: &World) -> Result<Vec<Value>, Failure> {
    Ok(serde_json::from_str(&world.told("list --ended -o json").await?)?)
}

fn row<'a>(table: &'a str, target: &str) -> Result<&'a str, Failure> {
    let row = table.lines().find(|line| line.contains(target));
    row.ok_or_else(|| format!("no {target} in:\n{table}").into())
}

/// One is stopped, one is killed: for a while both are in the table with the reason, and their logs are found.
#[tokio::test]
async fn stopped_and_killed() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let api = port_in(&world.succeed("-d svc/api :80 pod/solo :8080 --name mine").await?.stdout)?;
    world.succeed("-d svc/web :80 --name web").await?;
    let all = world.list().await?;
    let killed = all.iter().find(|one| one["target"] == "svc/web").ok_or("no web")?.clone();
    world.succeed(&format!("stop {api}")).await?;
    signal(pid_of(&killed)?, "KILL")?;
    gone(pid_of(&killed)?).await?;
    // The process goes on, and so does its other forward.
    world.listed("the rest", |all| all.len() == 1 && all[0]["target"] == "pod/solo").await?;
    let table = world.told("list").await?;
    let stopped = row(&table, "svc/api:80")?;
    assert!(stopped.contains(" stopped ") && stopped.contains("kubectl fwd stop"), "{table}");
    let failed = row(&table, "svc/web:80")?;
    assert!(failed.contains(" failed ") && failed.ends_with(" the process was killed"), "{table}");
    assert!(row(&table, "pod/solo:8080")?.contains(" active "), "{table}");
    let told = ended(&world).await?;
    assert_eq!(told.len(), 3);
    let found = told.iter().find(|one| one["target"] == "svc/web").ok_or("no web")?;
    assert_eq!((&found["id"], &found["state"]), (&killed["id"], &"stopped".into()));
    assert_eq!((&found["active"], &found["ended"]["failed"]), (&false.into(), &true.into()));
    let since = found["since"].clone();
    for word in ["web", &killed["localPort"].to_string(), killed["id"].as_str().unwrap_or_default()] {
        let log = world.told(&format!("logs {word}")).await?;
        assert!(log.contains("svc/web:80: running in the background"), "{word}: {log}");
    }
    assert!(world.told(&format!("logs {api}")).await?.contains("svc/api:80: running in"));
    assert!(world.told("list -n prod").await?.is_empty());
    // A name that was given again is that of the one that runs.
    world.succeed("-d svc/api :80 --name web").await?;
    assert!(world.told("logs web").await?.contains("svc/api:80: running in"));
    let again = ended(&world).await?;
    let again = again.iter().find(|one| one["id"] == killed["id"]).ok_or("it is forgotten")?;
    assert_eq!(again["since"], since, "it died once");
    Ok(())
}

/// A process that is suspended cannot say which forwards it has. It has written that down.
#[tokio::test]
async fn suspended() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("-d svc/web :80 --name web").await?;
    let pid = pid_of(&world.list().await?[0])?;
    signal(pid, "STOP")?;
    let ran = world.run("list").await?;
    let log = world.run("logs web").await?;
    let told = world.run("list --ended -o json").await?;
    signal(pid, "CONT")?;
    assert!(log.stdout.contains("svc/web:80: running in the background"), "{log:?}");
    assert_eq!(told.stdout, "[]\n", "what it was is not what it is");
    let row = row(&ran.stdout, "svc/web:80")?;
    assert!(row.contains(" suspended") && row.contains(" web "), "{ran:?}");
    assert_eq!(ran.code, Some(1));
    Ok(())
}

/// On a terminal a row is as wide as that, in a pipe it has every column.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_wide_as_the_terminal() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.succeed("-d svc/api :80 --name a-long-name-of-mine").await?;
    world.succeed("stop svc/api").await?;
    world.succeed("-d deploy/web :80").await?;
    let mut widths = Vec::new();
    for columns in [80, 120] {
        let line = format!("stty rows 24 cols {columns}; exec {} list --color=never", crate::PROGRAM);
        let output = sandbox::support::within("the list", world.in_terminal(&line).output()).await??;
        let said = String::from_utf8(output.stdout)?;
        assert!(said.contains("deploy/web:80") && said.contains(" stopped"), "{said}");
        let widest = said.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or_default();
        assert!(widest <= columns, "{columns}: {said}");
        widths.push(widest);
    }
    let piped = world.told("list").await?;
    let piped = piped.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    assert!(widths[0] < widths[1] && widths[1] < piped, "{widths:?} {piped}");
    Ok(())
}
