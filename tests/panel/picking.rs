//! The picker: from `kubectl fwd` and nothing more to forwards that work.

use std::{fs, path::Path};

use sandbox::{
    Sandbox, User,
    support::{Test, World, ask, terminal::Terminal},
};

use crate::PROGRAM;

/// Ends what runs in the terminal, and waits for the shell.
async fn interrupt(terminal: &Terminal) -> Test {
    terminal.press(&["C-c"]).await?;
    terminal.is_given_back().await
}

#[tokio::test]
async fn under_ten_keys_to_a_forward() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    terminal.run("--address 127.0.0.1", "svc/api").await?;
    terminal.press(&["a", "p", "i"]).await?;
    terminal.shows("Forward to: api").await?;
    terminal.press(&["Enter"]).await?;
    terminal.shows("Port of svc/api:").await?;
    terminal.press(&["Enter"]).await?;
    terminal
        .becomes("a proposal", |screen| {
            screen.lines().any(|line| {
                line.starts_with("Local port for svc/api:80: 8") && screen.contains("Enter takes it")
            })
        })
        .await?;
    // Any port, since others may run at the same time.
    terminal.press(&["C-u", "Enter"]).await?;
    let screen = terminal.shows("Forwarding from 127.0.0.1:").await?;
    assert!(screen.contains("kubectl fwd --address 127.0.0.1 svc/api :80"), "{screen}");
    let forwards = world.listed_count(1).await?;
    let port = forwards[0]["localPort"].as_u64().ok_or("no port")? as u16;
    assert!(ask(port).await?.starts_with("api"));
    // Ctrl-Z suspends it as it does without a picker before.
    terminal.press(&["C-z"]).await?;
    terminal.shows("Stopped").await?;
    terminal.enter("fg").await?;
    assert!(ask(port).await?.starts_with("api"));
    interrupt(&terminal).await
}

#[tokio::test]
async fn two_that_are_marked_in_another_namespace() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    terminal.run("", "svc/db").await?;
    terminal.press(&["C-n"]).await?;
    terminal.shows("Namespace:").await?;
    terminal.shows("prod").await?;
    terminal.press(&["p", "r", "o", "d", "Enter"]).await?;
    terminal.shows("namespace prod").await?;
    terminal.shows("svc/api").await?;
    terminal.shows("pod/api-").await?;
    terminal.press(&["Tab"]).await?;
    terminal.shows("1 marked").await?;
    terminal.press(&["p", "o", "d", "Space", "a", "p", "i"]).await?;
    terminal.becomes("the pods alone", |screen| !screen.contains("  svc/api")).await?;
    terminal.press(&["Tab"]).await?;
    terminal.shows("2 marked").await?;
    terminal.press(&["Enter"]).await?;
    // One after the other, whatever each of them asks.
    for _ in 0..4 {
        let screen = terminal
            .becomes("a step or the end", |screen| {
                screen.contains("Enter takes it")
                    || screen.contains("Port of ")
                    || screen.contains("Forwarding from")
            })
            .await?;
        if screen.contains("Forwarding from") {
            break;
        }
        let local = screen.contains("Local port");
        terminal.press(if local { &["C-u", "Enter"] } else { &["Enter"] }).await?;
        let line = screen.lines().nth(1).unwrap_or_default().to_owned();
        terminal.becomes("the next step", |screen| screen.lines().nth(1) != Some(&line)).await?;
    }
    let forwards = world.listed_count(2).await?;
    for forward in &forwards {
        assert_eq!(forward["namespace"], "prod");
        let port = forward["localPort"].as_u64().ok_or("no port")? as u16;
        assert!(ask(port).await?.starts_with("api"));
    }
    let screen = terminal.screen().await?;
    assert!(screen.contains("kubectl fwd -n prod svc/api :80 pod/api-"), "{screen}");
    interrupt(&terminal).await
}

/// Services may not be listed: that is said, with the right that is missing, and one can be typed.
#[tokio::test]
async fn with_partial_rights() -> Test {
    let user = User::new("narrow")
        .may("get,list,watch", "pods")
        .may("get", "services")
        .may("get,create", "pods/portforward");
    let sandbox =
        Sandbox::start(sandbox::Options { users: vec![user], ..sandbox::Options::default() }).await?;
    let world = World::of(sandbox, PROGRAM);
    let Some(terminal) = Terminal::open(&world, 100, 40).await? else { return Ok(()) };
    let kubeconfig = world.sandbox.kubeconfig("narrow");
    terminal
        .run(&format!("--kubeconfig {}", kubeconfig.display()), "Not shown: services, deployments")
        .await?;
    terminal.shows("pod/solo").await?;
    terminal.press(&["?"]).await?;
    terminal.shows("resources: [\"services\"]").await?;
    terminal.press(&["Escape"]).await?;
    terminal.press(&["s", "v", "c", "/", "a", "p", "i"]).await?;
    terminal.shows("as typed").await?;
    terminal.press(&["Enter"]).await?;
    // It may be read, so its ports are known.
    terminal.shows("9000").await?;
    terminal.press(&["Enter"]).await?;
    terminal.shows("Enter takes it").await?;
    terminal.press(&["C-u", "Enter"]).await?;
    terminal.shows("Forwarding from 127.0.0.1:").await?;
    interrupt(&terminal).await
}

#[tokio::test]
async fn what_was_used_comes_first() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    let first = |screen: &str| screen.lines().nth(3).unwrap_or_default().trim_start().to_owned();
    terminal.run("", "svc/api").await?;
    let screen = terminal
        .becomes("the whole list", |screen| screen.contains("pod/") && screen.contains("svc/web"))
        .await?;
    assert!(!first(&screen).starts_with("svc/web"), "{screen}");
    terminal.press(&["C-c"]).await?;
    terminal.is_given_back().await?;
    let history = world.path("state").join("kubectl-fwd").join("history.json");
    assert!(!history.exists(), "nothing was forwarded");
    for line in ["--no-history svc/api :80", "svc/web :80"] {
        let (forward, _) = world.working(line).await?;
        assert_eq!(forward.end("INT").await?.code, Some(0));
    }
    let noted = fs::read_to_string(&history)?;
    assert!(noted.contains("svc/web") && !noted.contains("svc/api"), "{noted}");
    assert_eq!(mode(&history)?, 0o600);
    terminal.run("", "svc/web").await?;
    terminal.becomes("the used one first", |screen| first(screen).starts_with("svc/web")).await?;
    terminal.press(&["C-c"]).await?;
    terminal.is_given_back().await?;
    // Not asked for, it is as it was; damaged, it is ignored.
    for line in ["--no-history", ""] {
        fs::write(&history, if line.is_empty() { "{" } else { &noted })?;
        terminal.run(line, "svc/web").await?;
        let screen = terminal.becomes("the whole list", |screen| screen.contains("pod/")).await?;
        assert!(first(&screen).starts_with("svc/api"), "{screen}");
        terminal.press(&["C-c"]).await?;
        terminal.is_given_back().await?;
    }
    Ok(())
}

fn mode(path: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// A namespace that is not there, and a cluster that does not answer, are said; both can be left.
#[tokio::test]
async fn what_is_not_there() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 80, 24).await? else { return Ok(()) };
    terminal.run("-n nope", "there is no namespace nope").await?;
    terminal.press(&["C-n"]).await?;
    terminal.shows("prod").await?;
    terminal.press(&["Escape"]).await?;
    terminal.shows("Forward to:").await?;
    terminal.press(&["Escape"]).await?;
    terminal.shell().await?;
    terminal.enter("echo STA''TUS $?").await?;
    terminal.shows("STATUS 130").await?;
    world.sandbox.stop_api().await;
    terminal.run("", "Nothing can be listed").await?;
    terminal.press(&["C-c"]).await?;
    terminal.is_given_back().await?;
    // A listener that never answers: it opens at once, and says what it waits for.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let line = format!("--server http://{}", silent.local_addr()?);
    terminal.run(&line, "for 0s").await?;
    terminal.shows("Forward to:").await?;
    terminal.press(&["C-z"]).await?;
    terminal.shows("Stopped").await?;
    terminal.enter("fg").await?;
    terminal.shows("Forward to:").await?;
    terminal.resize(40, 10).await?;
    terminal.shows("Forward to:").await?;
    terminal.enter("").await?;
    terminal.press(&["C-c"]).await?;
    terminal.is_given_back().await
}

/// Where nobody can pick, the usage is told as ever.
#[tokio::test]
async fn without_a_terminal() -> Test {
    let world = World::new(PROGRAM).await?;
    for line in ["", "-n prod"] {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains("TYPE/NAME and list of ports are required"), "{}", ran.stderr);
    }
    let Some(terminal) = Terminal::open(&world, 80, 24).await? else { return Ok(()) };
    terminal.enter("TERM=dumb $FWD; $FWD -o json").await?;
    terminal
        .becomes("two refusals", |screen| {
            screen.matches("TYPE/NAME and list of ports are required").count() >= 2
        })
        .await
        .map(drop)
}
