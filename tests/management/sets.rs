//! `save` and `up`.

use serde_json::Value;

use sandbox::support::processes::port_in;
use sandbox::support::{Failure, Test, World, ask};

fn sorted(all: &[Value], field: &str) -> Vec<String> {
    let mut all: Vec<_> = all.iter().map(|one| one[field].to_string()).collect();
    all.sort();
    all
}

/// What runs, in two processes, is saved; all of it is stopped; and it runs again as it was.
#[tokio::test]
async fn saved_and_started_again() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let socket = world.path("solo.sock");
    let (first, port) = world.working("svc/api :80 :echo --name web --hold 5s").await?;
    world.succeed(&format!("-d pod/solo unix:{}:8080 -n default", socket.display())).await?;
    let before = world.list().await?;
    assert_eq!(before.len(), 3);
    let saved = world.succeed("save dev").await?;
    assert!(saved.stdout.starts_with("3 forwards saved to "), "{}", saved.stdout);
    assert!(saved.stdout.contains(". Start: kubectl fwd up dev\n"), "{}", saved.stdout);
    let text = world.set("dev")?;
    assert!(
        text.contains("  - target: svc/api\n") && text.contains("hold: 5s") && text.contains("name: web"),
        "{text}"
    );
    world.succeed("stop --all").await?;
    assert_eq!(first.wait().await?.code, Some(0));
    world.listed_count(0).await?;
    let (up, again) = world.working("up dev").await?;
    assert_eq!(again, port);
    ask(again).await?;
    let after = world.list().await?;
    for field in ["target", "localPort", "local", "remotePort", "label", "context", "namespace", "holdMs"] {
        assert_eq!(sorted(&after, field), sorted(&before, field), "{field}");
    }
    assert_eq!(up.end("INT").await?.code, Some(0));
    Ok(())
}

/// No token, no password, and no word of how to get one.
#[tokio::test]
async fn credentials_are_not_saved() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let token = world.sandbox.token("admin").ok_or("admin has no token")?;
    let (_forward, _) = world.working(&format!("svc/api :80 --token {token}")).await?;
    world.succeed("save dev").await?;
    let text = world.set("dev")?;
    assert!(!text.contains(&token) && !text.contains("token"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_set_that_is_there() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let nothing = world.run("save dev").await?;
    assert!(nothing.code == Some(1) && nothing.stderr.contains("no forwards are running"), "{nothing:?}");
    let (_forward, _) = world.working("svc/api :80").await?;
    world.succeed("save dev").await?;
    let again = world.run("save dev").await?;
    assert!(again.code == Some(1) && again.stderr.contains("the set 'dev' exists already"), "{again:?}");
    world.succeed("save dev --force").await?;
    world.succeed("save -f fwd.yaml").await?;
    let again = world.run("save -f fwd.yaml").await?;
    assert!(again.code == Some(1) && again.stderr.contains("fwd.yaml exists already"), "{again:?}");
    let shown = world.succeed("save -f -").await?.stdout;
    assert_eq!(shown, world.set("dev")?);
    assert_eq!(shown, std::fs::read_to_string(world.path("fwd.yaml"))?);
    for (line, words) in [
        ("save ../dev", "'../dev' cannot be the name of a set"),
        ("save", "which name should the set get?"),
        ("save dev -f x", "under a name or in a file, not both"),
        ("save --auto -f x", "not for files"),
        ("up dve", "did you mean 'dev'?"),
        ("up fwd.yaml", "up -f fwd.yaml"),
        ("up -f none.yaml", "cannot read none.yaml"),
        ("up dev -f fwd.yaml", "a set or a file, not both"),
    ] {
        let ran = world.run(line).await?;
        assert!(ran.code == Some(1) && ran.stderr.contains(words), "{line}: {ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn from_a_file_or_stdin() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let none = world.run("up").await?;
    assert!(
        none.code == Some(1) && none.stderr.contains("there is no fwd.yaml in this directory"),
        "{none:?}"
    );
    let text =
        "forwards:\n- {target: svc/api, ports: ':80'}\n- {target: other/svc/api, ports: ':80', name: x}\n";
    let text = text.replace("other/", "");
    world.write("fwd.yaml", &text)?;
    let (up, port) = world.working("up").await?;
    ask(port).await?;
    assert_eq!(up.end("INT").await?.code, Some(0));
    let ran = world.run_with("up -d -f -", &text).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ask(port_in(&ran.stdout)?).await?;
    assert_eq!(world.list().await?.len(), 2);
    Ok(())
}

/// Every mistake is told at once, and nothing is started; or what is good of it.
#[tokio::test]
async fn mistakes() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write("bad.yaml", "forwards:\n- target: svc/api\n  ports: ':80'\n- target: scv/api\n  ports: 80\n- target: svc/web\n  port: 80\n")?;
    let ran = world.run("up -f bad.yaml").await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: there are 3 problems in bad.yaml; nothing is started\n  because: bad.yaml:4:11: 'scv' is not a type of \
         object that can be forwarded to; did you mean 'svc'?\n  because: bad.yaml:6:3: 'ports' is missing; for example \
         ports: 8080:80\n  because: bad.yaml:7:3: 'port' is not a key of a forward; did you mean 'ports'?\n  help: to see what a \
         set holds, run: kubectl fwd up --schema\n    to start the other forwards all the same, add --keep-going\n"
    );
    assert!(world.list().await?.is_empty());
    let mut up = world.start("up -f bad.yaml --keep-going")?;
    up.stderr("warning: there are 3 problems in bad.yaml; these forwards are left out").await?;
    ask(up.port().await?).await?;
    assert_eq!(up.end("INT").await?.code, Some(0));
    // One outside the entries could send all of them elsewhere.
    world.write("bad.yaml", "contxt: prod\nforwards: [{target: svc/api, ports: ':80'}]\n")?;
    let ran = world.run("up -f bad.yaml --keep-going").await?;
    assert!(
        ran.code == Some(1) && ran.stderr.contains("bad.yaml:1:1: 'contxt' is not a key of a set"),
        "{ran:?}"
    );
    Ok(())
}

/// What only the cluster knows: all or none, or all but those.
#[tokio::test]
async fn all_or_none() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write("fwd.yaml", "forwards:\n- {target: svc/api, ports: ':80'}\n- {target: svc/apo, ports: ':80'}\n- {target: svc/web, ports: ':80'}\n")?;
    let ran = world.run("up").await?;
    assert!(ran.code == Some(1) && ran.stderr.contains("there is no service apo"), "{ran:?}");
    assert!(world.list().await?.is_empty());
    let mut up = world.start("up --keep-going")?;
    up.stderr("warning: there is no service apo").await?;
    let all = world.listed_count(2).await?;
    assert_eq!(sorted(&all, "target"), ["\"svc/api\"", "\"svc/web\""]);
    assert_eq!(up.end("INT").await?.code, Some(0));
    Ok(())
}

/// Contexts and namespaces of a set, and what is typed before them.
#[tokio::test]
async fn where_a_set_leads() -> Result<(), Failure> {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write(
        "fwd.yaml",
        "context: nowhere\nforwards: [{target: svc/api, ports: ':80', namespace: none}]\n",
    )?;
    let ran = world.run("up").await?;
    assert!(ran.code == Some(1) && ran.stderr.contains("nowhere"), "{ran:?}");
    let text = std::fs::read_to_string(world.sandbox.kubeconfig("admin"))?;
    let config: Value = serde_json::from_str(&text)?;
    let context = config["current-context"].as_str().ok_or("no context")?;
    let (up, port) = world.working(&format!("up --context {context} -n default")).await?;
    ask(port).await?;
    let all = world.list().await?;
    assert_eq!(
        (&all[0]["context"], &all[0]["namespace"], &all[0]["target"]),
        (&context.into(), &"default".into(), &"svc/api".into())
    );
    up.end("INT").await?;
    // A kubeconfig beside the file.
    world.write("beside", &text)?;
    world.write("fwd.yaml", "kubeconfig: beside\nforwards: [{target: svc/api, ports: ':80'}]\n")?;
    let (_up, _) = world.working("up").await?;
    let all = world.list().await?;
    assert_eq!(all[0]["kubeconfig"], world.path("beside").display().to_string());
    Ok(())
}

#[tokio::test]
async fn the_schema() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let schema = world.succeed("up --schema").await?.stdout;
    assert_eq!(schema, include_str!("../../schemas/fwd.schema.json"));
    Ok(())
}

/// A set that comes through a pipe may take its time, and whoever waits hears what for.
#[tokio::test]
async fn a_slow_pipe() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let pipe = world.path("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    let mut up = world.start("up -f pipe.yaml")?;
    up.stderr("waiting for the end of pipe.yaml").await?;
    std::fs::write(&pipe, "forwards: [{target: svc/api, ports: ':80'}]\n")?;
    ask(up.port().await?).await?;
    assert_eq!(up.end("INT").await?.code, Some(0));
    // Among the saved ones it would hold up every process that keeps some of them current.
    std::fs::create_dir_all(world.path("kubectl-fwd/sets"))?;
    std::fs::rename(&pipe, world.path("kubectl-fwd/sets/pipe.yaml"))?;
    let refused = world.run("up pipe").await?;
    assert!(refused.code == Some(1) && refused.stderr.contains("it is not a regular file"), "{refused:?}");
    Ok(())
}
