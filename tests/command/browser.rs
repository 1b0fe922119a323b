//! `--open`: what opens URLs is a script here, which notes what it was given.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sandbox::support::{Failure, Test, World, forward::Forward, within};

use crate::{PROGRAM, SCRIPT, beside};

/// A program that notes its arguments in a file, line by line.
fn opener(world: &World, name: &str, then: &str) -> Test {
    fs::create_dir_all(world.path("bin"))?;
    let path =
        world.write(&format!("bin/{name}"), &format!("#!/bin/sh\necho {name} \"$@\" >> opened\n{then}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// The line that it notes.
async fn opened(world: &World, line: usize) -> Result<String, Failure> {
    within("the browser", async {
        loop {
            let text = fs::read_to_string(world.path("opened")).unwrap_or_default();
            if let Some(found) = text.lines().nth(line).filter(|_| text.ends_with('\n')) {
                return found.to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn start(world: &World, line: &str, browser: &str) -> Result<Forward, Failure> {
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH")?);
    let mut command = world.command(line);
    command.env("PATH", path).env("BROWSER", browser);
    Ok(Forward::spawn(command)?)
}

#[tokio::test]
async fn the_one_that_looks_like_http() -> Test {
    let world = World::new(PROGRAM).await?;
    opener(&world, "xdg-open", "exit 0")?;
    opener(&world, "mine", "exit 0")?;
    opener(&world, "broken", "exit 3")?;
    for (number, (browser, by)) in
        [("", "xdg-open "), ("mine", "mine "), ("no-such-program:mine --new %s x", "mine --new ")]
            .iter()
            .enumerate()
    {
        let mut forward = start(&world, "sts/db :5432 svc/api :80 --open", browser)?;
        forward.stdout("-> ").await?;
        let line = opened(&world, number).await?;
        let url = line.strip_prefix(by).ok_or_else(|| format!("{browser}: {line}"))?;
        let port = url.trim_end_matches(" x").trim_start_matches("http://localhost:").trim_end_matches('/');
        let listed = world.list().await?;
        let api = listed.iter().find(|one| one["target"] == "svc/api").ok_or("not listed")?;
        assert_eq!(port, api["localPort"].to_string(), "{line}");
        let ended = forward.end("TERM").await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    Ok(())
}

/// What does not work is told, and forwarding goes on.
#[tokio::test]
async fn what_cannot_be_opened() -> Test {
    let world = World::new(PROGRAM).await?;
    for name in ["xdg-open", "gio", "gnome-open", "kde-open", "kde-open5", "kde-open6", "broken"] {
        opener(&world, name, "exit 3")?;
    }
    let mut forward = start(&world, "svc/api :80 --open", "broken")?;
    let port = forward.port().await?;
    let told = forward.stderr("--open: the browser could not be opened").await?;
    assert!(told.contains(&format!("open http://localhost:{port}/ yourself")), "{told}");
    sandbox::support::ask(port).await?;
    assert_eq!(forward.end("TERM").await?.code, Some(0));
    let mut forward = start(&world, "svc/db :5432 sts/db :pg --open", "broken")?;
    forward.stderr("none of the forwards looks like HTTP").await?;
    forward.end("TERM").await?;
    Ok(())
}

/// A command has the terminal all the same.
#[tokio::test]
async fn beside_a_command() -> Test {
    let world = World::new(PROGRAM).await?;
    opener(&world, "mine", "exit 0")?;
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH")?);
    let mut command = beside(&world, "svc/api :80 --open", &["sh", "-c", SCRIPT]);
    command.env("PATH", path).env("BROWSER", "mine");
    let forward = Forward::spawn(command)?;
    assert!(opened(&world, 0).await?.starts_with("mine http://localhost:"));
    assert_eq!(forward.wait().await?.stderr, "");
    Ok(())
}
