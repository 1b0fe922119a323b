//! The terminal is as it was, whatever ends the panel or interrupts it.

use sandbox::support::{
    Test, World, ask,
    terminal::{PROMPT, Terminal},
};
use tokio::process::Command;

use crate::PROGRAM;

/// Starts the panel by a shell that notes its process, and becomes it.
async fn panel(terminal: &Terminal) -> Test {
    terminal.enter("sh -c 'echo $$ > panel.pid; exec $FWD ui'").await?;
    terminal.shows("1 forward in 1 process").await.map(drop)
}

async fn signal(world: &World, name: &str) -> Test {
    let pid = std::fs::read_to_string(world.path("panel.pid"))?;
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await?;
    if sent.success() { Ok(()) } else { Err(format!("kill -{name} {pid} failed").into()) }
}

#[tokio::test]
async fn by_a_key_and_by_signals() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    let (_forward, port) = world.working("svc/api :80").await?;
    terminal.enter("echo BEF''ORE").await?;
    terminal.shows("BEFORE").await?;
    for how in ["q", "C-c", "TERM", "HUP", "INT"] {
        panel(&terminal).await?;
        match how {
            "q" | "C-c" => terminal.press(&[how]).await?,
            signalled => signal(&world, signalled).await?,
        }
        if how == "q" {
            // What was there before is there again.
            terminal
                .becomes("the shell", |screen| screen.contains("BEFORE") && !screen.contains("TARGET"))
                .await?;
        }
        terminal.is_given_back().await.map_err(|failure| format!("{how}: {failure}"))?;
        terminal.enter("clear").await?;
        terminal.becomes("a clear screen", |screen| screen.trim() == PROMPT.trim()).await?;
        // The forwards go on.
        ask(port).await?;
    }
    Ok(())
}

/// Ctrl-Z gives the terminal to the shell, as it was; `fg` shows the panel again, which goes on.
#[tokio::test]
async fn suspended() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    let (_forward, _) = world.working("svc/api :80").await?;
    panel(&terminal).await?;
    for how in ["C-z", "TSTP"] {
        match how {
            "C-z" => terminal.press(&[how]).await?,
            signalled => signal(&world, signalled).await?,
        }
        terminal.shows("Stopped").await?;
        terminal.is_given_back().await?;
        terminal.enter("fg").await?;
        terminal.shows("1 forward in 1 process").await?;
        // Keys reach it again.
        terminal.press(&["?"]).await?;
        terminal.shows("this help").await?;
        terminal.press(&["Escape"]).await?;
        terminal.becomes("no help", |screen| !screen.contains("this help")).await?;
    }
    terminal.press(&["q"]).await?;
    terminal.is_given_back().await
}
