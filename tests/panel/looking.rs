//! What is seen of processes that start, hang and die.

use sandbox::support::{Test, World, ask, terminal::Terminal};

use crate::PROGRAM;

#[tokio::test]
async fn processes_come_and_go() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 140, 30).await? else { return Ok(()) };
    terminal.run("ui", "No forwards are running").await?;
    let (one, port) = world.working("svc/api :80").await?;
    let (other, _) = world.working("pod/solo :8080").await?;
    terminal.shows("2 forwards in 2 processes").await?;
    terminal.click(&format!("localhost:{port}")).await?;
    terminal.shows("events of svc/api:80").await?;
    // Suspended, and back.
    one.signal("STOP").await?;
    terminal.shows(" suspended ").await?;
    one.signal("CONT").await?;
    terminal.becomes("an end of that", |screen| !screen.contains("suspended")).await?;
    ask(port).await?;
    // Killed: it failed, is told so, and goes.
    one.signal("KILL").await?;
    terminal.shows(" failed ").await?;
    terminal.shows("ended without a word").await?;
    terminal.shows("1 forward in 1 process").await?;
    terminal.becomes("no failed row", |screen| !screen.contains("svc/api:80")).await?;
    // Ended in order.
    assert_eq!(other.end("INT").await?.code, Some(0));
    terminal.shows("No forwards are running").await?;
    Ok(())
}

#[tokio::test]
async fn filters_of_the_command_line() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    let (_one, _) = world.working("svc/web :80").await?;
    let (_other, _) = world.working("-n prod svc/api :80").await?;
    terminal.run("ui -n prod", "1 forward in 1 process").await?;
    let screen = terminal.screen().await?;
    assert!(screen.contains("svc/api:80") && !screen.contains("svc/web:80"), "{screen}");
    Ok(())
}

/// From wide to 40 columns and back: it is drawn anew in the new size.
#[tokio::test]
async fn another_size() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 120, 30).await? else { return Ok(()) };
    let (_forward, port) = world.working("svc/api :80").await?;
    terminal.run("ui", "CONNECTIONS").await?;
    terminal.resize(40, 12).await?;
    let local = format!("localhost:{port}");
    let narrow = terminal
        .becomes("40 columns", |screen| screen.lines().count() <= 12 && !screen.contains("CONNECTIONS"))
        .await?;
    let rows: Vec<_> =
        narrow.lines().filter(|line| line.contains("svc/api:80") && line.contains(&local)).collect();
    assert!(!rows.is_empty() && narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    terminal.resize(120, 30).await?;
    terminal.shows("CONNECTIONS").await?;
    Ok(())
}
