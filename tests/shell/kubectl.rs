//! Real kubectl, each version that is found, asked by its own `__complete`.

use std::path::Path;

use sandbox::support::forward;
use sandbox::support::kubectl;
use sandbox::support::{Failure, Test, World};

use crate::{NO_LIMIT, PROGRAM, path, values};

/// What kubectl answers about the words behind `kubectl`.
async fn asked(world: &World, kubectl: &Path, words: &[&str]) -> Result<String, Failure> {
    let mut command = forward::command(kubectl, &world.kubeconfig(), &[] as &[&str]);
    command.arg("__complete").args(words).env("PATH", path(world)?).env("HOME", world.sandbox.directory());
    let output = command.env(NO_LIMIT.0, NO_LIMIT.1).output().await?;
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn completes_what_the_program_tells() -> Test {
    let world = World::with_background(PROGRAM).await?;
    let install = world.command("completion install").env("PATH", path(&world)?).output().await?;
    assert!(install.status.success(), "{install:?}");
    world.succeed("-d svc/api :80 --name shop").await?;
    world.succeed("save dev").await?;
    let id = world.list().await?[0]["id"].as_str().ok_or("no id")?.to_owned();
    // Each kubectl has to find the program and to understand what it answers; what that is depends on the words alone.
    let rows = [
        (&["svc/api", "8080:"][..], &["8080:80", "8080:http"][..], &["80"][..]),
        (&[""], &["list", "svc/", "solo"], &["--namespace"]),
        (&["--namespace=pro"], &["prod"], &["default"]),
        (&["--cont"], &["--context"], &["--color"]),
        (&["-n", "prod", "svc/"], &["svc/api"], &["svc/db"]),
        (&["prod/svc/"], &["prod/svc/api"], &["prod/svc/db"]),
        (&["svc/api", ""], &["80", "http", "9000", "svc/"], &["53"]),
        (&["deploy/api", "ht"], &["http"], &["8080"]),
        (&["-l", "app=api", ""], &["8080", "http"], &["list"]),
        (&["-n", "pro"], &["prod"], &["default"]),
        (&["stop", ""], &["shop", &id], &["svc/"]),
        (&["up", ""], &["dev"], &[]),
        (&["list", "-o", ""], &["json", "wide"], &["text"]),
    ];
    let all = kubectl::all();
    let newest = all.last().into_iter().flat_map(|kubectl| rows.iter().map(move |row| (kubectl, row)));
    let others = all.iter().rev().skip(1).map(|kubectl| (kubectl, &rows[0]));
    for (kubectl, (words, expected, unexpected)) in newest.chain(others) {
        let line: Vec<&str> = ["fwd"].iter().chain(*words).copied().collect();
        let answer = asked(&world, kubectl, &line).await?;
        let (found, name) = (values(&answer), kubectl.display());
        for value in *expected {
            assert!(found.contains(value), "{name} {words:?}: no {value} in {answer}");
        }
        for value in *unexpected {
            assert!(!found.contains(value), "{name} {words:?}: {value} in {answer}");
        }
    }
    Ok(())
}

/// kubectl takes its own global flags away before it asks; all of them are ours then.
#[tokio::test]
async fn contexts_clusters_and_users() -> Test {
    let world = World::new(PROGRAM).await?;
    world.command("completion install").env("PATH", path(&world)?).output().await?;
    let text = std::fs::read_to_string(world.kubeconfig())?;
    let config: serde_json::Value = serde_saphyr::from_str(&text)?;
    if let Some(kubectl) = kubectl::all().last() {
        for (flag, list) in [("--context", "contexts"), ("--cluster", "clusters"), ("--user", "users")] {
            let name = config[list][0]["name"].as_str().ok_or("no name")?;
            let answer = asked(&world, kubectl, &["fwd", flag, ""]).await?;
            assert_eq!(values(&answer), [name], "{} {flag}: {answer}", kubectl.display());
        }
    }
    Ok(())
}
