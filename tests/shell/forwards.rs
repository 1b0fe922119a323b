//! The names and ids of forwards, as their processes tell them.

use sandbox::support::{Failure, Test, World, within};

use crate::{NO_LIMIT, PROGRAM, values};

/// The lookup ends with its limit, and what the others have told is there.
#[tokio::test]
async fn a_forward_that_is_suspended() -> Test {
    let world = World::new(PROGRAM).await?;
    let (suspended, _) = world.working("svc/api :80 --name asleep").await?;
    let (_awake, _) = world.working("svc/api :80 --name awake").await?;
    suspended.signal("STOP").await?;
    let mut command = world.command("__complete stop a");
    let output = command.env(NO_LIMIT.0, "3s").output().await?;
    assert_eq!(values(&String::from_utf8(output.stdout)?), ["awake"]);
    Ok(())
}

/// What has ended has a log still, and cannot be stopped.
#[tokio::test]
async fn a_forward_that_has_ended() -> Test {
    let world = World::with_background(PROGRAM).await?;
    world.succeed("-d svc/api :80 --name gone").await?;
    world.succeed("stop gone").await?;
    let complete = async |line: &str| -> Result<String, Failure> {
        let output = world.command(line).env(NO_LIMIT.0, NO_LIMIT.1).output().await?;
        Ok(String::from_utf8(output.stdout)?)
    };
    // Its process writes down how it ended, and is then gone.
    within("the end of the forward", async {
        while !complete("__complete logs go").await?.starts_with("gone\tended, svc/api") {}
        Ok::<_, Failure>(())
    })
    .await??;
    assert!(values(&complete("__complete stop go").await?).is_empty());
    Ok(())
}
