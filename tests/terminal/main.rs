//! What a person sees on a terminal: the built `kubectl-fwd` in a tmux, whose screen is read.
//!
//! Without a tmux there is nothing to do, which is said; with `FWD_REQUIRE_TMUX` set that is a failure.

#![cfg(unix)]

use sandbox::support::terminal::Terminal;
use sandbox::support::{Test, World, ask};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// The lines about a target that do not stay.
fn status_lines(screen: &str) -> Vec<&str> {
    screen
        .lines()
        .filter(|line| ["retrying", "reconnecting", "so far"].iter().any(|word| line.contains(word)))
        .collect()
}

/// An outage is one line that counts the seconds, and a line that stays once it is over.
#[tokio::test]
async fn an_outage_is_one_line() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 24).await? else { return Ok(()) };
    terminal.enter("$FWD svc/api :80").await?;
    let seen = terminal.line("Forwarding from 127.0.0.1:").await?;
    let port = seen.split([':', ' ']).nth(3).and_then(|port| port.parse().ok()).ok_or(seen)?;
    ask(port).await?;
    world.sandbox.stop_api().await;
    terminal.shows("svc/api: cluster unreachable (connection refused), retrying in ").await?;
    let later = terminal.line(" s so far").await?;
    let again = terminal.becomes("another second", |screen| {
        screen.lines().any(|line| line.contains(" s so far") && line != later)
    });
    let screen = again.await?;
    assert_eq!(status_lines(&screen).len(), 1, "{screen}");
    // A narrow terminal has the same line, shorter, and nothing of the longer one.
    terminal.resize(60, 12).await?;
    let shorter =
        terminal.becomes("a shorter line", |screen| screen.contains('…') && status_lines(screen).len() == 1);
    shorter.await?;
    terminal.resize(100, 24).await?;
    world.sandbox.resume_api().await?;
    terminal.shows("svc/api: connected to pod api-").await?;
    let screen = terminal.becomes("the status line's end", |screen| status_lines(screen).is_empty()).await?;
    assert!(screen.contains(" again after "), "{screen}");
    let screen = terminal.interrupt().await?;
    assert!(status_lines(&screen).is_empty(), "{screen}");
    Ok(())
}

/// While no pod is ready a line says what is waited for; what is written meanwhile stands above it, and an interrupt
/// takes it away.
#[tokio::test]
async fn a_start_that_waits() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 24).await? else { return Ok(()) };
    terminal.enter("$FWD svc/stuck :80 pod/solo :8080 -v 4").await?;
    let waiting = "svc/stuck: waiting for a ready pod (pod stuck is Pending (ImagePullBackOff)), ";
    terminal.shows(waiting).await?;
    let seen = terminal.becomes("a line of the log above it", |screen| {
        let lines: Vec<_> = screen.lines().collect();
        let log = lines.iter().position(|line| line.contains(" DEBUG "));
        let status = lines.iter().rposition(|line| !line.is_empty());
        log < status && status.is_some_and(|at| lines[at].contains(waiting) && lines[at].contains("so far"))
    });
    let screen = seen.await?;
    assert_eq!(status_lines(&screen).len(), 1, "{screen}");
    let screen = terminal.interrupt().await?;
    assert!(status_lines(&screen).is_empty(), "{screen}");
    Ok(())
}

/// A server that is slow is named before the line of a pipe would come.
#[tokio::test]
async fn a_slow_server() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 24).await? else { return Ok(()) };
    world.sandbox.faults().black_hole(true);
    terminal.enter("$FWD svc/api :80").await?;
    let line = terminal.line(" s so far").await?;
    assert!(line.contains(&world.sandbox.url()), "{line}");
    world.sandbox.faults().black_hole(false);
    let screen = terminal.interrupt().await?;
    assert!(!screen.contains("so far") && !screen.contains("still"), "{screen}");
    Ok(())
}

/// Which port leads where is said, once there are several targets.
#[tokio::test]
async fn several_targets() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 24).await? else { return Ok(()) };
    terminal.enter("$FWD svc/api :80 pod/solo :8080").await?;
    for (port, target) in [(80, "svc/api"), (8080, "pod/solo")] {
        let line = terminal.line(&format!(" ({target})")).await?;
        assert!(line.starts_with("Forwarding from ") && line.contains(&port.to_string()), "{line}");
    }
    Ok(())
}
