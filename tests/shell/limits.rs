//! Completion never hangs, never asks and says nothing of what is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use sandbox::support::{Failure, Test, World, within};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::{NO_LIMIT, PROGRAM, values};

/// Completes with the limit that users have.
async fn quiet(world: &World, line: &str) -> Result<String, Failure> {
    let mut command = world.command("__complete");
    command.args(line.split(' '));
    let output = command.output().await?;
    assert_eq!(output.status.code(), Some(0), "{line}");
    assert_eq!(String::from_utf8(output.stderr)?, "", "{line}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_server_that_never_answers() -> Test {
    let world = World::new(PROGRAM).await?;
    world.sandbox.faults().black_hole(true);
    assert_eq!(quiet(&world, "svc/").await?, ":4\n");
    // What is known without it is there.
    assert!(values(&quiet(&world, "").await?).contains(&"list"));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_or_reached() -> Test {
    let world = World::new(PROGRAM).await?;
    world.write("broken", "contexts: [\n")?;
    for line in [
        "--kubeconfig broken svc/",
        "--kubeconfig missing --context ",
        "--server http://127.0.0.1:1 svc/",
        "--token nonsense svc/",
        "-n a/b svc/",
        "--context nope svc/",
        "svc/nothing ",
        "--bogus",
        "svc/api 80 --context",
    ] {
        let answer = quiet(&world, line).await?;
        let known = values(&answer);
        assert!(known.iter().all(|value| value.ends_with('/') || *value == "--context"), "{line}: {answer}");
    }
    Ok(())
}

/// A plugin that asks finds nobody.
#[tokio::test]
async fn credential_plugins() -> Test {
    let world = World::new(PROGRAM).await?;
    let token = world.sandbox.token("admin").ok_or("admin has no token")?;
    let gives = format!("printf '{{\"status\":{{\"token\":\"{token}\"}}}}'");
    for (script, mode, works) in [
        (gives.clone(), "IfAvailable", true),
        (format!("read answer; echo Password: >&2; {gives}"), "IfAvailable", true),
        (gives, "Always", false),
    ] {
        with_plugin(&world, &script, mode)?;
        let mut command = world.command("__complete --kubeconfig other svc/a");
        let output = command.env(NO_LIMIT.0, NO_LIMIT.1).output().await?;
        let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        let expected: &[&str] = if works { &["svc/api"] } else { &[] };
        assert_eq!((values(&stdout).as_slice(), &*stderr), (expected, ""), "{script}");
    }
    Ok(())
}

/// It goes with the lookup, and so does what it has started: the pipe that it holds open is closed.
#[tokio::test]
async fn a_credential_plugin_that_does_not_end() -> Test {
    let world = World::new(PROGRAM).await?;
    let pipe = world.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().await?.success());
    let mut held = pipe::OpenOptions::new().open_receiver(&pipe)?;
    let script = format!(
        "exec 3>'{}'; echo here >&3; echo who are you? >&2; while :; do sleep 60; done",
        pipe.display()
    );
    with_plugin(&world, &script, "IfAvailable")?;
    // Long enough for a busy machine to start it, which the word in the pipe proves.
    let mut command = world.command("__complete --kubeconfig other svc/a");
    let output = command.env(NO_LIMIT.0, "2s").output().await?;
    assert_eq!(
        (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?),
        (":4\n".to_owned(), String::new())
    );
    let mut said = String::new();
    within("the end of the plugin", held.read_to_string(&mut said)).await??;
    assert_eq!(said, "here\n");
    Ok(())
}

/// Who asked an issuer and was gone before its answer would have logged the user out: it may end the token it was asked with.
#[tokio::test]
async fn no_refresh_token_is_used_up() -> Test {
    let world = World::new(PROGRAM).await?;
    let issuer = std::net::TcpListener::bind("127.0.0.1:0")?;
    issuer.set_nonblocking(true)?;
    // Ended in 1970.
    let ended = format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(r#"{"exp":1}"#));
    let user = json!({ "auth-provider": { "name": "oidc", "config": {
        "idp-issuer-url": format!("http://{}", issuer.local_addr()?), "client-id": "c", "id-token": ended,
        "refresh-token": "once",
    } } });
    with_user(&world, &user)?;
    let mut command = world.command("__complete --kubeconfig other svc/a");
    let output = command.env(NO_LIMIT.0, "2s").output().await?;
    assert_eq!(
        (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?),
        (":4\n".to_owned(), String::new())
    );
    let asked = issuer.accept().map_err(|error| error.kind());
    assert_eq!(asked.err(), Some(std::io::ErrorKind::WouldBlock), "the issuer was asked");
    Ok(())
}

/// A kubeconfig whose user is a plugin.
fn with_plugin(world: &World, script: &str, mode: &str) -> Test {
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
        "interactiveMode": mode,
    });
    with_user(world, &json!({ "exec": exec }))
}

/// The kubeconfig `other`, with another user.
fn with_user(world: &World, user: &Value) -> Test {
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(world.kubeconfig())?)?;
    config["users"][0]["user"] = user.clone();
    world.write("other", &config.to_string())?;
    Ok(())
}
