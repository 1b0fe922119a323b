//! `kubectl fwd list --watch`.

use sandbox::support::{Test, World};
use serde_json::Value;

/// What changes is told by those it happens to: a pod that goes, a process that comes, one that is killed.
#[tokio::test]
async fn each_change_is_a_row() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (forward, _) = world.working("sts/db :8080 svc/web :80 --name mine").await?;
    let mut watch = world.start("list --watch")?;
    let head = watch.stdout("NAMESPACE").await?;
    let row = watch.stdout("sts/db").await?;
    assert!(row.contains("active") && row.contains("mine") && head.starts_with("ID "), "{row}");
    assert_eq!(row.find("db-"), head.find("POD"), "what comes stands under the head");
    world.sandbox.scale("sts", "default", "db", 0)?;
    watch.stdout(" waiting ").await?;
    world.sandbox.scale("sts", "default", "db", 1)?;
    watch.stdout(" active ").await?;
    let (other, _) = world.working("pod/solo :8080").await?;
    let row = watch.stdout("pod/solo").await?;
    assert!(row.contains(" active "), "{row}");
    world.told("stop svc/web").await?;
    let row = watch.stdout("svc/web").await?;
    assert!(row.contains(" stopped "), "{row}");
    other.signal("KILL").await?;
    let row = watch.stdout("pod/solo").await?;
    assert!(row.contains(" failed "), "{row}");
    assert_eq!(forward.end("INT").await?.code, Some(0));
    watch.stdout(" stopped ").await?;
    let ended = watch.end("INT").await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout.matches("NAMESPACE").count(), 1, "{}", ended.stdout);
    Ok(())
}

/// For programs an object a line, of the forwards that are asked for, and without an end.
#[tokio::test]
async fn for_programs() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let mut people = world.start("ls -w")?;
    people.stderr("No forwards are running.").await?;
    let mut watch = world.start("list -w -o json -n prod")?;
    let (_other, _) = world.working("svc/api :80").await?;
    let (_forward, port) = world.working("prod/svc/api :80").await?;
    let line = watch.stdout(&format!("\"localPort\":{port}")).await?;
    let first: Value = serde_json::from_str(&line)?;
    assert_eq!(first["namespace"], "prod");
    people.stdout("ID ").await?;
    world.told("stop --all").await?;
    let last: Value = serde_json::from_str(&watch.stdout("\"ended\":").await?)?;
    assert_eq!((&last["id"], &last["ended"]["failed"]), (&first["id"], &false.into()), "{last}");
    let ended = watch.end("INT").await?;
    assert!(ended.code == Some(0) && !ended.stdout.contains("\"default\""), "{ended:?}");
    Ok(())
}
