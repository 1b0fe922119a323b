//! `a`: what else to forward is picked while the panel is open.

use sandbox::support::{Failure, Test, World, ask, refused, terminal::Terminal};

use crate::PROGRAM;

/// The keys that take any free local port, since others may run at the same time.
const ANY_PORT: &[&str] = &["C-u", "Enter"];

/// Picks what these letters find first, up to the question for a local port.
async fn pick(terminal: &Terminal, letters: &str, target: &str) -> Test {
    terminal.press(&["a"]).await?;
    terminal.shows("Forward to:").await?;
    terminal.shows(target).await?;
    for letter in letters.chars() {
        terminal.press(&[&letter.to_string()]).await?;
    }
    terminal.shows(&format!("Forward to: {letters}")).await?;
    terminal.press(&["Enter"]).await?;
    let screen = terminal
        .becomes("a step", |screen| screen.contains("Port of ") || screen.contains("Enter takes it"))
        .await?;
    if screen.contains("Port of ") {
        terminal.press(&["Enter"]).await?;
        terminal.shows("Enter takes it").await?;
    }
    Ok(())
}

async fn ports(world: &World, count: usize) -> Result<Vec<u16>, Failure> {
    let all = world.listed_count(count).await?;
    all.iter().map(|one| Ok(one["localPort"].as_u64().ok_or("no port")?.try_into()?)).collect()
}

/// In the panel of all processes it is one of its own, which goes on when the panel is left.
#[tokio::test]
async fn in_a_process_of_its_own() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 120, 30).await? else { return Ok(()) };
    terminal.run("ui", "Press a to add one").await?;
    // Left without a choice, the panel is there again.
    terminal.press(&["a"]).await?;
    terminal.shows("Forward to:").await?;
    terminal.press(&["Escape"]).await?;
    terminal.shows("Press a to add one").await?;
    pick(&terminal, "api", "svc/api").await?;
    terminal.press(ANY_PORT).await?;
    terminal.shows("1 forward in 1 process").await?;
    let screen = terminal.shows("started in the background: svc/api").await?;
    assert!(screen.contains("The same again: kubectl fwd svc/api :80"), "{screen}");
    let port = ports(&world, 1).await?[0];
    assert!(ask(port).await?.starts_with("api"));
    terminal.press(&["q"]).await?;
    terminal.is_given_back().await?;
    assert!(ask(port).await?.starts_with("api"));
    Ok(())
}

/// In the panel of a process it is one more of that process.
#[tokio::test]
async fn in_the_same_process() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 120, 30).await? else { return Ok(()) };
    terminal.run("--ui --address 127.0.0.1 svc/web :80", "events of svc/web:80").await?;
    pick(&terminal, "api", "svc/api").await?;
    terminal.press(ANY_PORT).await?;
    terminal.shows("started: svc/api").await?;
    terminal.shows("2 forwards").await?;
    let all = world.listed_count(2).await?;
    assert_eq!(all[0]["pid"], all[1]["pid"]);
    assert!(all.iter().all(|one| one["localAddresses"].as_array().is_none_or(|all| all.len() == 1)));
    let ports = ports(&world, 2).await?;
    for port in &ports {
        ask(*port).await?;
    }
    // The process is suspended while somebody picks, and goes on there.
    terminal.press(&["a"]).await?;
    terminal.shows("Forward to:").await?;
    terminal.press(&["C-z"]).await?;
    terminal.shows("Stopped").await?;
    terminal.enter("fg").await?;
    terminal.shows("Forward to:").await?;
    terminal.press(&["Escape"]).await?;
    terminal.shows("2 forwards").await?;
    // What cannot be started is said, and nothing else changes.
    pick(&terminal, "db", "svc/db").await?;
    world.sandbox.force_delete("service", "default", "db")?;
    terminal.press(ANY_PORT).await?;
    terminal.shows("there is no service db").await?;
    terminal.shows("2 forwards").await?;
    terminal.press(&["q", "y"]).await?;
    terminal.is_given_back().await?;
    for port in ports {
        refused(port).await?;
    }
    Ok(())
}

/// Its forwards end while somebody picks: the terminal is given back.
#[tokio::test]
async fn the_process_ends_meanwhile() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    terminal.run("--ui svc/web :80", "events of svc/web:80").await?;
    terminal.press(&["a"]).await?;
    terminal.shows("Forward to:").await?;
    world.succeed("stop --all").await?;
    terminal.is_given_back().await
}
