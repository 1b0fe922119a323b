//! What the README shows is tried as it stands there.

use std::path::Path;
use std::process::{Command, Output};
use std::{fs, str};

use sandbox::support::forward::{Forward, command};
use sandbox::support::kubectl;
use sandbox::support::{Failure, Test, ask};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"))
}

/// The command lines of a section, those of its subsections left out: indented, and up to what is said about them.
fn lines_of(section: &str) -> Vec<&'static str> {
    let from = README.split_once(&format!("\n## {section}\n")).map_or("", |(_, rest)| rest);
    let lines = from.split("\n##").next().unwrap_or_default().lines();
    lines
        .filter_map(|line| line.strip_prefix("    kubectl fwd "))
        .map(|line| line.split("  ").next().unwrap_or_default().trim())
        .collect()
}

/// The objects that those lines speak of.
fn objects() -> Vec<Value> {
    let ports = json!([
        { "name": "http", "containerPort": 8080 }, { "name": "metrics", "containerPort": 9090 },
        { "name": "web", "containerPort": 3000 }, { "name": "pg", "containerPort": 5432 },
        { "name": "redis", "containerPort": 6379 },
    ]);
    let pod = |name: &str, namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
            "spec": { "containers": [{ "name": "app", "image": "any", "ports": ports }] },
        })
    };
    let service = |name: &str, namespace: &str, ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
            "spec": { "selector": { "app": name }, "ports": ports },
        })
    };
    let api =
        || json!([{ "name": "http", "port": 80, "targetPort": "http" }, { "name": "metrics", "port": 9090 }]);
    let mut web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } } },
    });
    web["spec"]["template"] = pod("web", "default");
    web["spec"]["template"]["metadata"] = json!({ "labels": { "app": "web" } });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "staging" } }),
        pod("api", "default"),
        pod("api", "staging"),
        pod("db", "default"),
        pod("x", "default"),
        web,
        service("api", "default", api()),
        service("api", "staging", api()),
        service("db", "default", json!([{ "name": "pg", "port": 5432 }])),
    ]
}

/// Each line of "Use" forwards, every port of it.
#[tokio::test]
async fn what_is_shown_forwards() -> Test {
    let options = Options { default_objects: false, objects: objects(), ..Options::default() };
    let sandbox = Sandbox::start(options).await?;
    let lines = lines_of("Use");
    assert!(lines.len() >= 7, "{lines:?}");
    for line in lines {
        // The ports of a machine that runs other tests may be taken, and its /tmp is everybody's.
        let here = line.replace("/tmp/", &format!("{}/", sandbox.directory().display()));
        let args: Vec<&str> = here.split(' ').chain(["--auto-port"]).collect();
        let mut forward = Forward::start(program(), &sandbox.kubeconfig("admin"), &args)?;
        let ports = args.iter().filter(|arg| arg.contains(':') || arg.parse::<u16>().is_ok()).count();
        // Each has a line for 127.0.0.1, or its socket, and most machines have IPv6 as well.
        let mut working = 0;
        while working < ports {
            working += usize::from(!forward.stdout("Forwarding from ").await?.contains("[::1]"));
        }
        assert_eq!(forward.end("INT").await?.code, Some(0), "{line}");
    }
    Ok(())
}

/// Each line of "Manage" does what it is for, on a forward that is there.
#[tokio::test]
async fn what_is_shown_manages() -> Test {
    let sandbox = Sandbox::start(Options::default()).await?;
    let kubeconfig = sandbox.kubeconfig("admin");
    let lines = lines_of("Manage");
    assert!(lines.len() >= 6, "{lines:?}");
    for line in lines {
        let mut forward = Forward::start(program(), &kubeconfig, &["svc/api", ":80"])?;
        let port = forward.port().await?.to_string();
        let line = line.replace("8080", &port);
        let command = Forward::start(program(), &kubeconfig, &line.split(' ').collect::<Vec<_>>())?;
        let (ended, forward) = match line.split(' ').next() {
            Some("stop") => (command.wait().await?, forward.wait().await?),
            Some("serve") if !line.contains("--stdio") => {
                let mut serving = command;
                serving.stdout("Serving on ").await?;
                (serving.end("INT").await?, forward.end("INT").await?)
            }
            // With its parent's end of the pipe it ends.
            Some("serve") => (command.wait().await?, forward.end("INT").await?),
            _ => {
                let ended = command.wait().await?;
                assert!(ended.stdout.contains(&port), "{line}: {}", ended.stdout);
                (ended, forward.end("INT").await?)
            }
        };
        assert_eq!(
            (ended.code, forward.code),
            (Some(0), Some(0)),
            "{line}: {}{}",
            ended.stdout,
            ended.stderr
        );
    }
    Ok(())
}

/// Each line of "Sets": what runs is saved, and starts again.
#[tokio::test]
async fn what_is_shown_remembers() -> Test {
    let sandbox = Sandbox::start(Options::default()).await?;
    let here = sandbox.directory();
    let start = |line: &str| {
        let mut command =
            command(program(), &sandbox.kubeconfig("admin"), &line.split(' ').collect::<Vec<_>>());
        command.current_dir(here);
        Forward::spawn(command)
    };
    let lines = lines_of("Sets");
    assert!(lines.len() >= 4, "{lines:?}");
    for line in ["save -f fwd.yaml"].into_iter().chain(lines) {
        let ended = match line.split(' ').next() {
            Some("save") => {
                let mut forward = start("svc/api :80")?;
                forward.port().await?;
                let ended = start(line)?.wait().await?;
                forward.end("INT").await?;
                ended
            }
            Some("up") => {
                let mut forward = start(line)?;
                ask(forward.port().await?).await?;
                forward.end("INT").await?
            }
            Some("down") => {
                let mut forward = start(&line.replace("down", "up"))?;
                forward.port().await?;
                let ended = start(line)?.wait().await?;
                assert_eq!(forward.wait().await?.code, Some(0), "{line}");
                ended
            }
            _ => {
                let ended = start(line)?.wait().await?;
                assert!(ended.stdout.contains("dev"), "{line}: {}", ended.stdout);
                ended
            }
        };
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    }
    Ok(())
}

/// Every flag of the README is one of the program's, in every spelling that is shown.
#[test]
fn flags_are_there() -> Test {
    let help = String::from_utf8(fwd(&["--help"])?.stdout)?;
    let flags: Vec<&str> = README
        .lines()
        .filter(|line| line.starts_with("| `-"))
        .filter_map(|line| line.split_once(" | "))
        .map(|(flags, _)| flags.trim_start_matches("| "))
        .collect();
    assert!(flags.len() >= 10, "{flags:?}");
    for spelled in
        flags.iter().flat_map(|flag| flag.split([' ', ',', '`'])).filter(|word| word.starts_with('-'))
    {
        assert!(help.contains(spelled), "{spelled} is not in\n{help}");
    }
    Ok(())
}

fn fwd(args: &[&str]) -> Result<Output, Failure> {
    Ok(Command::new(program()).args(args).output()?)
}

/// The role in the README is enough for what it says, and to the letter: with it a user has nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_is_enough() -> Test {
    let Some(kubectl) = kubectl::all().pop() else { return Ok(()) };
    let sandbox = Sandbox::start(Options::default()).await?;
    let role =
        README.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```")).ok_or("no role")?.0;
    let path = sandbox.directory().join("role.yaml");
    fs::write(&path, role)?;
    let run = |line: &str| -> Result<String, Failure> {
        let output = Command::new(&kubectl)
            .args(line.split(' '))
            .env("KUBECONFIG", sandbox.kubeconfig("admin"))
            .env("KUBECACHEDIR", sandbox.directory())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = str::from_utf8(&said)?.trim().to_owned();
        if output.status.success() { Ok(said) } else { Err(said.into()) }
    };
    run(&format!("apply -f {}", path.display()))?;
    run("create serviceaccount reader")?;
    run("create rolebinding reader --role=port-forwarder --serviceaccount=default:reader")?;
    let token = run("create token reader")?;
    let mut config: Value = serde_json::from_str(&run("config view --raw -o json")?)?;
    config["users"][0]["user"] = json!({ "token": token });
    let kubeconfig = sandbox.kubeconfig("reader");
    fs::write(&kubeconfig, config.to_string())?;
    for (target, app) in [
        ("svc/api :80", "api"),
        ("deploy/web :8080", "web"),
        ("sts/db :8080", "db"),
        ("ds/agent :8080", "agent"),
        ("job/once :8080", "once"),
        ("svc/manual :80", "web"),
        ("pod/solo :8080", "solo"),
        ("-l app=web :8080", "web"),
    ] {
        let args: Vec<&str> = target.split(' ').collect();
        let mut forward = Forward::start(program(), &kubeconfig, &args)?;
        let port = forward.port().await?;
        assert!(ask(port).await?.starts_with(app), "{target}");
        let ended = forward.end("INT").await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{target}");
    }
    let refused = Forward::start(program(), &kubeconfig, &["rc/old", ":8080"])?.wait().await?;
    assert_eq!(refused.code, Some(1));
    Ok(())
}
