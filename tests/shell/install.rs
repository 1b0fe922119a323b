//! `completion install` and `uninstall`: the link beside the program, and nobody else's file.

use std::fs;

use sandbox::support::forward::Ended;
use sandbox::support::{Failure, Test, World};

use crate::{PROGRAM, path, plugins};

async fn run(world: &World, line: &str) -> Result<Ended, Failure> {
    Ok(world.command(line).env("PATH", path(world)?).output().await?.try_into()?)
}

#[tokio::test]
async fn makes_a_link_to_the_link_and_removes_it() -> Test {
    let world = World::new(PROGRAM).await?;
    let link = plugins(&world)?.join("kubectl_complete-fwd");
    let shown = link.display().to_string();
    for what in ["completion is installed", "completion is installed already"] {
        let ended = run(&world, "completion install").await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.starts_with(&format!("{what}: {shown}\n")), "{ended:?}");
        // Whatever file the program's own link leads to after an upgrade, this one leads there as well.
        assert_eq!(fs::read_link(&link)?.to_str(), Some("kubectl-fwd"));
    }
    let gone = run(&world, "completion uninstall").await?;
    assert_eq!((gone.code, gone.stdout), (Some(0), format!("completion is removed: {shown}\n")));
    assert!(link.symlink_metadata().is_err());
    let again = run(&world, "completion uninstall").await?;
    assert_eq!(again.stdout, format!("completion is not installed: there is no {shown}\n"));
    assert!(plugins(&world)?.join("kubectl-fwd").exists());
    Ok(())
}

#[tokio::test]
async fn leaves_what_is_not_its_own() -> Test {
    let world = World::new(PROGRAM).await?;
    let other = plugins(&world)?.join("kubectl_complete-fwd");
    fs::write(&other, "#!/bin/sh\n")?;
    for action in ["install", "uninstall"] {
        let ended = run(&world, &format!("completion {action}")).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is there already") && ended.stderr.contains("Delete it"), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(&other)?, "#!/bin/sh\n");
    Ok(())
}

#[tokio::test]
async fn a_program_that_kubectl_would_not_find() -> Test {
    let world = World::new(PROGRAM).await?;
    let ended: Ended =
        world.command("completion install").env("PATH", "/no/such/directory").output().await?.try_into()?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: kubectl-fwd is in no directory of your PATH\n"), "{ended:?}");
    Ok(())
}
