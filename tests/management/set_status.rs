//! `up` beside what runs already, `down` and `sets`.

use sandbox::support::processes::{gone, pid_of};
use sandbox::support::{Test, World, ask};
use serde_json::{Value, json};

const SET: &str = "forwards:\n- {target: svc/api, ports: ':80'}\n- {target: svc/web, ports: ':80'}\n- {target: sts/db, ports: ':8080', name: db}\n";

fn targets(all: &[Value]) -> Vec<String> {
    let mut all: Vec<_> =
        all.iter().map(|one| one["target"].as_str().unwrap_or_default().to_owned()).collect();
    all.sort();
    all
}

/// What runs stays as it is, in whichever process, and the rest is started; `down` ends all of it and nothing else.
#[tokio::test]
async fn half_of_it_runs() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    world.write("fwd.yaml", SET)?;
    let (mut first, port) = world.working("svc/api :80 pod/solo :8080").await?;
    let solo = first.port().await?;
    assert_eq!(world.told("sets").await?.lines().last(), Some("-      3          1/3       fwd.yaml"));
    let up = world.succeed("up -d").await?;
    let pid = first.pid().ok_or("it has ended")?;
    let told = format!("svc/api:80 (localhost:{port}) is already running (process {pid})\n");
    assert!(up.stderr.contains(&told) && !up.stdout.contains(&port.to_string()), "{up:?}");
    let all = world.listed_count(4).await?;
    assert_eq!(targets(&all), ["pod/solo", "sts/db", "svc/api", "svc/web"]);
    for line in ["up", "up --detach", "up -f fwd.yaml --keep-going"] {
        let again = world.succeed(line).await?;
        assert_eq!(again.stdout, "", "{line}");
        assert_eq!(again.stderr.matches("is already running (process").count(), 3, "{again:?}");
        assert!(
            again.stderr.ends_with("already running. Stop it: kubectl fwd down -f fwd.yaml\n"),
            "{again:?}"
        );
    }
    assert_eq!(world.list().await?, all, "nothing was started");
    world.succeed("stop svc/web").await?;
    let sets: Value = serde_json::from_str(&world.told("up --list -o json").await?)?;
    assert_eq!(
        sets,
        json!([{ "name": null, "path": "fwd.yaml", "forwards": 3, "running": 2, "auto": false }])
    );
    let pid = pid_of(world.list().await?.iter().find(|one| one["target"] == "sts/db").ok_or("no db")?)?;
    let down = world.succeed("down").await?;
    assert_eq!(down.stdout.lines().count(), 2, "{down:?}");
    assert!(down.stdout.contains(&format!("svc/api:80 (localhost:{port}) stopped\n")), "{down:?}");
    gone(pid).await?;
    assert_eq!(targets(&world.list().await?), ["pod/solo"]);
    assert_eq!(ask(solo).await?, "solo");
    let none = world.succeed("down").await?;
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "No forwards of fwd.yaml are running.\n"));
    Ok(())
}

/// Sets by name: what is listed, what an error says, and that another namespace is another set of forwards.
#[tokio::test]
async fn by_name() -> Test {
    let world = World::with_background(crate::PROGRAM).await?;
    let none = world.succeed("sets").await?;
    assert!(none.stdout.is_empty() && none.stderr.contains("kubectl fwd save NAME"), "{none:?}");
    let auto = world.succeed("save --auto work").await?;
    assert!(auto.stdout.starts_with("No forwards are running, so "), "{auto:?}");
    std::fs::write(
        world.path("kubectl-fwd/sets/dev.yaml"),
        "forwards:\n- {target: svc/api, ports: ':80'}\n- {target: svc/apo, ports: ':80'}\n",
    )?;
    let ran = world.run("up dev").await?;
    let line = format!("the set 'dev' ({}:3) asks for it", world.path("kubectl-fwd/sets/dev.yaml").display());
    assert!(ran.code == Some(1) && ran.stderr.contains(&line), "{ran:?}");
    assert!(ran.stderr.contains("kubectl fwd up dev --keep-going"), "{ran:?}");
    assert_eq!(world.told("sets -o name").await?, "dev\nwork\n");
    assert!(world.told("sets -o yaml").await?.starts_with("- auto: false\n  forwards: 2\n  name: dev\n"));
    let up = world.run("up -d dev -n prod --keep-going").await?;
    assert_eq!(up.code, Some(0), "{up:?}");
    assert!(world.succeed("down dev").await?.stderr.starts_with("No forwards of the set 'dev'"));
    assert_eq!(world.list().await?.len(), 1);
    let down = world.succeed("down dev -n prod").await?;
    assert!(down.stdout.starts_with("svc/api:80 (localhost:"), "{down:?}");
    world.listed_count(0).await?;
    let unknown = world.run("down dve").await?;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("did you mean 'dev'?"), "{unknown:?}");
    // A mistake in a file keeps nobody from ending the rest.
    world.write("fwd.yaml", &format!("{SET}- {{target: scv/x, ports: 80}}\n"))?;
    world.succeed("-d svc/web :80").await?;
    let down = world.run("down").await?;
    assert!(down.code == Some(1) && down.stdout.starts_with("svc/web:80 ("), "{down:?}");
    assert!(down.stderr.contains("fwd.yaml:5:"), "{down:?}");
    Ok(())
}
