//! `kubectl fwd list`.

use serde_json::json;

use sandbox::support::{Test, World, ask, connect};

#[tokio::test]
async fn an_empty_list_says_how_to_start() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    for line in ["list", "list -o wide"] {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{line}");
        assert_eq!(ran.stderr, "No forwards are running. Start one: kubectl fwd svc/api 8080:80\n");
    }
    for (line, stdout) in
        [("list -o json", "[]\n"), ("list -o yaml", "[]\n"), ("list -o name", ""), ("ls -q", "")]
    {
        let ran = world.run(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), stdout, ""), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn every_process_is_listed() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (one, http) = world.working("svc/api :http :9000").await?;
    let path = world.sandbox.directory().join("s.sock");
    let (two, port) = world
        .working(&format!("--address 127.0.0.1 pod/solo :8080 prod/svc/api unix:{}:80", path.display()))
        .await?;
    ask(http).await?;
    ask(port).await?;
    let all = world.listed("the connections to be over", |all| {
        all.len() == 4 && all.iter().all(|one| one["connections"]["open"] == 0)
    });
    let all = all.await?;
    let of = |target: &str, remote: serde_json::Value| {
        all.iter()
            .find(|one| one["target"] == target && one["remotePort"] == remote)
            .ok_or(format!("no {target}"))
    };
    let api = of("svc/api", json!("http"))?;
    let expected = json!({
        "id": api["id"], "resourceType": "service", "name": "api", "namespace": "default", "localPort": http,
        "remotePort": "http", "active": true, "context": api["context"], "address": "localhost", "local": null,
        "pod": api["pod"], "podPort": 8080, "state": "active", "since": api["since"],
        "connections": { "open": 0, "total": 1, "failed": 0, "held": 0, "retried": 0, "blocked": 0 }, "bytes": api["bytes"],
        "restarts": 0, "pid": api["pid"], "lastError": null, "label": null, "target": "svc/api",
        "kubeconfig": null, "holdMs": 30000, "podRunningTimeoutMs": 60000, "autoPort": false, "allowUnready": false, "retry": "none",
    });
    assert_eq!(api, &expected);
    assert!(
        api["bytes"]["in"].as_u64() > Some(50) && api["bytes"]["out"].as_u64() > Some(20),
        "{}",
        api["bytes"]
    );
    assert!(api["since"].as_str().is_some_and(|since| since.ends_with('Z')));
    assert!(api["context"].is_string());
    let echo = of("svc/api", json!(9000))?;
    assert_eq!((&echo["pid"], &echo["bytes"]), (&api["pid"], &json!({ "in": 0, "out": 0 })));
    let solo = of("pod/solo", json!(8080))?;
    assert_eq!(
        (&solo["address"], &solo["pod"], &solo["resourceType"]),
        (&json!("127.0.0.1"), &json!("solo"), &json!("pod"))
    );
    assert_ne!(solo["pid"], api["pid"]);
    let unix = of("prod/svc/api", json!(80))?;
    assert_eq!((&unix["localPort"], &unix["namespace"]), (&json!(null), &json!("prod")));
    assert_eq!(unix["local"], format!("unix:{}", path.display()));

    let names = world.told("list -o name").await?;
    let ids: Vec<_> = all.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), ids);
    let table = world.told("list").await?;
    assert!(table.starts_with("ID ") && table.lines().count() == 5 && !table.contains('\u{1b}'), "{table}");
    assert!(table.contains("svc/api:http") && table.contains(&format!("localhost:{http}")), "{table}");
    let heads = table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(heads[..5], ["ID", "NAME", "NAMESPACE", "TARGET", "LOCAL"], "{table}");
    let bare = world.told("ls --no-headers").await?;
    assert!(bare.lines().count() == 4 && !bare.contains("TARGET"), "{bare}");
    let columns =
        world.told("list --no-headers -o custom-columns=X:.remotePort,Y:{.connections.total}").await?;
    assert!(columns.lines().any(|line| line == "http   1"), "{columns}");
    let yaml = world.told("list -o yaml").await?;
    assert_eq!(yaml.matches("\n  id: ").count(), 4, "{yaml}");
    let wide = world.told("-n default list --output=wide --color=always").await?;
    assert!(wide.contains("LAST ERROR") && wide.contains("\u{1b}[32mactive"), "{wide}");
    for forward in [one, two] {
        assert_eq!(forward.end("INT").await?.code, Some(0));
    }
    assert!(world.list().await?.is_empty());
    assert!(world.sockets()?.is_empty(), "sockets are left");
    Ok(())
}

/// The id is the same whichever pod serves, and the list says where it is and what went wrong.
#[tokio::test]
async fn a_forward_over_its_life() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (mut forward, port) = world.working("svc/db :5432").await?;
    let before = world.list().await?;
    let first = before[0]["pod"].clone();
    world.sandbox.scale("sts", "default", "db", 0)?;
    let waiting = world.listed("it to wait", |all| all[0]["state"] == "waiting").await?;
    assert_eq!((&waiting[0]["active"], &waiting[0]["id"]), (&json!(false), &before[0]["id"]));
    assert!(waiting[0]["lastError"].as_str().is_some_and(|why| why.contains("pod")), "{}", waiting[0]);
    let held = connect(port).await?;
    world.listed("a held connection", |all| all[0]["connections"]["held"] == 1).await?;
    drop(held);
    world.sandbox.scale("sts", "default", "db", 1)?;
    forward.stderr("svc/db: ready again").await?;
    let after = world.listed("it to work", |all| all[0]["state"] == "active").await?;
    assert_eq!((&after[0]["id"], &after[0]["restarts"]), (&before[0]["id"], &json!(1)));
    assert!(first.is_string() && after[0]["pod"].is_string());
    Ok(())
}

/// A process that is suspended is shown as that, and holds nobody up.
#[tokio::test]
async fn a_suspended_process() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (hung, _) = world.working("svc/web :80").await?;
    let (_forward, _) = world.working("pod/solo :8080").await?;
    hung.signal("STOP").await?;
    let ran = world.run("list -o json").await?;
    let table = world.run("list").await?;
    hung.signal("CONT").await?;
    let line = format!("process {} ", hung.pid().ok_or("it has ended")?);
    let row = table.stdout.lines().find(|row| row.contains(&line)).ok_or("it is not in the table")?;
    assert!(row.contains(" suspended") && table.stdout.contains("pod/solo"), "{}", table.stdout);
    assert_eq!(table.code, Some(1));
    let all: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout)?;
    assert!(!all.iter().any(|one| one["target"] == "svc/web"), "{}", ran.stdout);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("warning: process") && ran.stderr.contains("is suspended"), "{}", ran.stderr);
    world.listed("both", |all| all.len() == 2).await?;
    Ok(())
}

/// What could not be asked is no "nothing".
#[tokio::test]
async fn nothing_is_not_said_of_what_is_not_known() -> Test {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(crate::PROGRAM).await?;
    let (hung, _) = world.working("svc/web :80").await?;
    hung.signal("STOP").await?;
    let ran = world.run("list").await?;
    hung.signal("CONT").await?;
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(1), 2));
    assert!(!ran.stderr.contains("No forwards"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is suspended"), "{}", ran.stderr);
    std::fs::set_permissions(world.socket_directory(), std::fs::Permissions::from_mode(0o755))?;
    let ran = world.run("list").await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("is open to other users"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("No forwards"), "{}", ran.stderr);
    std::fs::set_permissions(world.socket_directory(), std::fs::Permissions::from_mode(0o700))?;
    assert_eq!(world.list().await?.len(), 1);
    Ok(())
}

/// `-n` and `--context` leave what they name, to list and to stop.
#[tokio::test]
async fn of_a_namespace_or_a_context() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_here, port) = world.working("svc/api :http").await?;
    let (there, _) = world.working("prod/svc/api :http").await?;
    let all = world.list().await?;
    let context = all[0]["context"].as_str().ok_or("no context")?.to_owned();
    for (flags, count) in [
        ("-n prod".to_owned(), 1),
        ("-n default".to_owned(), 1),
        ("-n none".to_owned(), 0),
        (format!("--context {context}"), 2),
        (format!("--context {context} -n prod"), 1),
        ("-A -n none".to_owned(), 2),
        (format!("--all-namespaces --context {context}"), 2),
    ] {
        let names = world.told(&format!("list -o name {flags}")).await?;
        assert_eq!(names.lines().count(), count, "{flags}: {names}");
    }
    let none = world.run("list -n none").await?;
    assert_eq!(none.stderr, "No forwards are running in namespace none. All forwards: kubectl fwd list\n");
    let refused = world.run("stop svc/api -n none").await?;
    assert!(refused.code == Some(1) && world.list().await?.len() == 2, "{refused:?}");
    // A context that nothing has is misspelt.
    for line in ["list", "list -o json", "stop --all", "save x", "logs x"] {
        let ran = world.run(&format!("{line} --context nope")).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        assert!(ran.stderr.contains("context 'nope'") || ran.stderr.contains("context nope"), "{ran:?}");
    }
    // Without the namespace it could be either.
    assert!(world.told("stop svc/api -n prod").await?.starts_with("prod/svc/api:http (localhost:"));
    assert_eq!(there.wait().await?.code, Some(0));
    let (there, _) = world.working("prod/svc/api :http").await?;
    assert_eq!(world.told("stop --all -n prod").await?, "1 forward stopped\n");
    assert_eq!(there.wait().await?.code, Some(0));
    ask(port).await?;
    Ok(())
}
