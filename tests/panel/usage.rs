//! Where there is no screen, it is said so.

use sandbox::support::{Test, World};

use crate::PROGRAM;

#[tokio::test]
async fn no_terminal() -> Test {
    let world = World::new(PROGRAM).await?;
    for line in ["ui", "--ui svc/api :80", "up --ui dev"] {
        let ran = world.run(line).await?;
        assert_eq!(ran.code, Some(1), "{line}");
        assert!(
            ran.stderr.contains("needs a terminal") && ran.stderr.contains("list -w"),
            "{line}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{line}");
    }
    for (line, says) in [
        ("--ui -d svc/api :80", "--ui cannot be used with --detach"),
        ("--ui -o json svc/api :80", "--ui cannot be used with --output json"),
        ("--ui svc/api :80 -- true", "--ui cannot be used with a command"),
        ("up --ui -d dev", "--ui cannot be used with --detach"),
    ] {
        let ran = world.run(line).await?;
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{line}: {}", ran.stderr);
    }
    assert!(!world.socket_directory().exists(), "nothing was started");
    Ok(())
}
