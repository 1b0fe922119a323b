//! What a person sees on a terminal: the built `kubectl-fwd` in a tmux, whose screen is read.
//!
//! Without a tmux there is nothing to do, which is said; with `FWD_REQUIRE_TMUX` set that is a failure.

#![cfg(unix)]

mod screen;

use sandbox::Sandbox;
use sandbox::support::pods::cluster;
use sandbox::support::{Failure, Test, ask};

use self::screen::Screen;

/// A screen on which this works, or none where there is no tmux.
async fn screen(sandbox: &Sandbox, line: &str) -> Result<Option<Screen>, Failure> {
    Ok(Screen::start(&sandbox.kubeconfig("admin"), line).await?)
}

/// The lines about a target that do not stay.
fn status_lines(screen: &[String]) -> Vec<&String> {
    screen
        .iter()
        .filter(|line| ["retrying", "reconnecting", "so far"].iter().any(|word| line.contains(word)))
        .collect()
}

/// An outage is one line that counts the seconds, and a line that stays once it is over.
#[tokio::test]
async fn an_outage_is_one_line() -> Test {
    let sandbox = cluster().await?;
    let Some(screen) = screen(&sandbox, "svc/api :80").await? else { return Ok(()) };
    let seen = screen.shows("Forwarding from 127.0.0.1:").await?;
    let port = seen.split([':', ' ']).nth(3).and_then(|port| port.parse().ok()).ok_or(seen)?;
    ask(port).await?;
    sandbox.stop_api().await;
    screen.shows("svc/api: cluster unreachable (connection refused), retrying in ").await?;
    let later = screen.shows(" s so far").await?;
    let again = screen.until("another second", |lines| {
        lines.iter().any(|line| line.contains(" s so far") && *line != later)
    });
    let lines = again.await?;
    assert_eq!(status_lines(&lines).len(), 1, "{lines:#?}");
    // A narrow terminal has the same line, shorter, and nothing of the longer one.
    screen.resize(60, 12).await?;
    let lines = screen.until("a shorter line", |lines| {
        lines.iter().any(|line| line.contains('…')) && status_lines(lines).len() == 1
    });
    lines.await?;
    screen.resize(100, 24).await?;
    sandbox.resume_api().await?;
    screen.shows("svc/api: connected to pod api-").await?;
    let lines = screen.until("the status line's end", |lines| status_lines(lines).is_empty()).await?;
    assert!(lines.iter().any(|line| line.contains(" again after ")), "{lines:#?}");
    screen.interrupt().await?;
    let lines = screen.ended().await?;
    assert!(status_lines(&lines).is_empty(), "{lines:#?}");
    Ok(())
}

/// While no pod is ready a line says what is waited for; what is written meanwhile stands above it, and an interrupt
/// takes it away.
#[tokio::test]
async fn a_start_that_waits() -> Test {
    let sandbox = cluster().await?;
    let line = "svc/stuck :80 pod/solo :8080 -v 4";
    let Some(screen) = screen(&sandbox, line).await? else { return Ok(()) };
    let waiting = "svc/stuck: waiting for a ready pod (pod stuck is Pending (ImagePullBackOff)), ";
    screen.shows(waiting).await?;
    let seen = screen.until("a line of the log above it", |lines| {
        let log = lines.iter().position(|line| line.contains(" DEBUG "));
        let status = lines.iter().rposition(|line| !line.is_empty());
        log < status && status.is_some_and(|at| lines[at].contains(waiting) && lines[at].contains("so far"))
    });
    let lines = seen.await?;
    assert_eq!(status_lines(&lines).len(), 1, "{lines:#?}");
    screen.interrupt().await?;
    let lines = screen.ended().await?;
    assert!(status_lines(&lines).is_empty(), "{lines:#?}");
    Ok(())
}

/// A server that is slow is named before the line of a pipe would come.
#[tokio::test]
async fn a_slow_server() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().black_hole(true);
    let Some(screen) = screen(&sandbox, "svc/api :80").await? else { return Ok(()) };
    let line = screen.shows(" s so far").await?;
    assert!(line.contains(&sandbox.url()), "{line}");
    sandbox.faults().black_hole(false);
    screen.interrupt().await?;
    let lines = screen.ended().await?;
    assert!(!lines.iter().any(|line| line.contains("so far") || line.contains("still")), "{lines:#?}");
    Ok(())
}

/// Which port leads where is said, once there are several targets.
#[tokio::test]
async fn several_targets() -> Test {
    let sandbox = cluster().await?;
    let Some(screen) = screen(&sandbox, "svc/api :80 pod/solo :8080").await? else { return Ok(()) };
    for (port, target) in [(80, "svc/api"), (8080, "pod/solo")] {
        let line = screen.shows(&format!(" ({target})")).await?;
        assert!(line.starts_with("Forwarding from ") && line.contains(&port.to_string()), "{line}");
    }
    Ok(())
}
