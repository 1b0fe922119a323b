//! `up` of a set that came with a project: what it may do is told first, and done with the user's consent alone.

use serde_json::{Value, json};

use sandbox::support::{Failure, Test, World, ask};

const OPEN: &str = "forwards: [{target: svc/api, ports: ':80', address: 0.0.0.0}]\n";

/// A kubeconfig like the user's own, with this in place of its user.
fn kubeconfig(world: &World, user: Value) -> Result<String, Failure> {
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(world.sandbox.kubeconfig("admin"))?)?;
    config["users"][0]["user"] = user;
    Ok(config.to_string())
}

/// A plugin that leaves a trace, and then fails.
fn plugin(trace: &std::path::Path) -> Value {
    json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never",
        "args": ["-c", format!("touch {}; exit 1", trace.display())],
    } })
}

/// Without a terminal and without consent nothing of it runs; the error says what it would do, and how to allow it.
#[tokio::test]
async fn a_program_is_not_run_unasked() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let trace = world.path("trace");
    world.write("theirs", &kubeconfig(&world, plugin(&trace))?)?;
    world.write("fwd.yaml", "kubeconfig: theirs\nforwards: [{target: svc/api, ports: ':80'}]\n")?;
    for line in ["up", "up -f fwd.yaml", "up -d", "up --keep-going", "up -o json"] {
        let ran = world.run(line).await?;
        assert_eq!(ran.code, Some(1), "{line}: {ran:?}");
        for says in ["needs your consent", "it would run the program 'sh' with 2 arguments", "--trust"] {
            assert!(ran.stderr.contains(says), "{line}: {}", ran.stderr);
        }
        assert!(!trace.exists(), "{line}");
    }
    // What is typed is the user's own word.
    let own = world.sandbox.kubeconfig("admin");
    let (up, port) = world.working(&format!("up --kubeconfig {}", own.display())).await?;
    ask(port).await?;
    assert_eq!(up.end("INT").await?.code, Some(0));
    let ran = world.run("up --trust").await?;
    assert!(trace.exists() && ran.stderr.contains("because you trust it"), "{ran:?}");
    Ok(())
}

/// Consent is for this path and this content, of the set and of its kubeconfig.
#[tokio::test]
async fn remembered_until_it_changes() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write("fwd.yaml", OPEN)?;
    let refused = world.run("up").await?;
    assert!(
        refused.stderr.contains("it would listen on 0.0.0.0, where other machines can connect"),
        "{refused:?}"
    );
    let mut up = world.start("up --trust")?;
    up.stderr("it would listen on 0.0.0.0").await?;
    up.stdout("Forwarding from").await?;
    assert_eq!(up.end("INT").await?.code, Some(0));
    let ran = world.succeed("up -d").await?;
    assert!(!ran.stderr.contains("0.0.0.0, where"), "{}", ran.stderr);
    world.succeed("stop --all").await?;
    world.write("fwd.yaml", &OPEN.replace("svc/api", "svc/web"))?;
    assert_eq!(world.run("up").await?.code, Some(1));
    world.write("copy.yaml", OPEN)?;
    assert_eq!(world.run("up -f copy.yaml").await?.code, Some(1));
    // In the background as well, with nobody but the command to say so.
    let ran = world.succeed("up -d --trust").await?;
    assert!(ran.stderr.contains("it would listen on 0.0.0.0"), "{}", ran.stderr);
    // Nor can what is read from stdin be remembered.
    for (line, code) in [("up -d -f -", 1), ("up -d -f - --trust", 0), ("up -d -f -", 1)] {
        let ran = world.run_with(line, OPEN).await?;
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
    }
    Ok(())
}

/// The user's own sets do what they say, and so does one that asks for nothing more.
#[tokio::test]
async fn nobody_is_asked_without_need() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    std::fs::create_dir_all(world.path("kubectl-fwd/sets"))?;
    world.write("kubectl-fwd/sets/open.yaml", OPEN)?;
    for line in ["up open -d", "up -d -f kubectl-fwd/sets/open.yaml"] {
        world.succeed(line).await?;
    }
    let token = world.sandbox.token("admin").ok_or("admin has no token")?;
    world.write("beside", &kubeconfig(&world, json!({ "token": token }))?)?;
    world.write("fwd.yaml", "kubeconfig: beside\nforwards: [{target: svc/api, ports: '127.0.0.9::80'}]\n")?;
    world.succeed("up -d").await?;
    Ok(())
}

/// A person at a terminal is asked, and has to say yes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_person_says_yes() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write("fwd.yaml", OPEN)?;
    for (answer, says) in
        [("no", "you did not say yes"), ("yes", "in the background."), ("", "in the background.")]
    {
        let line = format!("{} up -d", crate::PROGRAM);
        let mut terminal = world.in_terminal(&line);
        let mut terminal = terminal.env("TERM", "dumb").stdin(std::process::Stdio::piped()).spawn()?;
        let mut stdin = terminal.stdin.take().ok_or("no stdin")?;
        let typed = format!("{answer}\n");
        tokio::io::AsyncWriteExt::write_all(&mut stdin, typed.as_bytes()).await?;
        let output = sandbox::support::within("the answer", terminal.wait_with_output()).await??;
        drop(stdin);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(says), "{answer}: {said}");
        assert_eq!(said.contains("[y/N]"), !answer.is_empty(), "{answer}: {said}");
        world.succeed("down").await?;
    }
    Ok(())
}
