//! `version`: this program's, and the server's where it answers.

use serde_json::Value;

use sandbox::support::{Test, World};

use crate::PROGRAM;

const OURS: &str = concat!("kubectl-fwd ", env!("CARGO_PKG_VERSION"), " (");

#[tokio::test]
async fn of_the_server_too() -> Test {
    let world = World::new(PROGRAM).await?;
    let text = world.told("version").await?;
    let (ours, server) = text.split_once('\n').ok_or("one line")?;
    assert!(ours.starts_with(OURS) && server.starts_with("Server Version: v1."), "{text}");
    let version = server.trim_start_matches("Server Version: ").trim_end();
    for format in ["json", "yaml"] {
        let told = world.told(&format!("version -o {format}")).await?;
        let told: Value = serde_saphyr::from_str(&told)?;
        assert_eq!(told["clientVersion"]["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")), "{format}");
        assert_eq!(told["serverVersion"]["gitVersion"], version, "{format}");
    }
    Ok(())
}

#[tokio::test]
async fn of_this_program_alone() -> Test {
    let world = World::new(PROGRAM).await?;
    for line in ["version --client", "-V", "version --server http://127.0.0.1:1", "version --context nope"] {
        let ended = world.succeed(line).await?;
        assert!(ended.stdout.starts_with(OURS) && ended.stdout.lines().count() == 1, "{line}: {ended:?}");
        assert_eq!(ended.stderr, "", "{line}");
    }
    let told: Value = serde_json::from_str(&world.told("version --client -o json").await?)?;
    assert!(told.get("serverVersion").is_none() && told["clientVersion"]["platform"].is_string(), "{told}");
    Ok(())
}
