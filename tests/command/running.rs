//! What a command is given, and what is its alone.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, os::unix::fs::PermissionsExt as _};

use sandbox::support::{Failure, Test, World, ask, forward::Ended, refused, within};

use crate::{PROGRAM, SCRIPT, beside, port, say, script};

async fn run(world: &World, line: &str, words: &[&str]) -> Result<Ended, Failure> {
    Ok(within(line, beside(world, line, words).output()).await??.try_into()?)
}

#[tokio::test]
async fn as_long_as_the_forward() -> Test {
    let world = World::new(PROGRAM).await?;
    let (mut forward, mut stdin) = script(&world, "svc/api :80 --ready-file ready.json", SCRIPT)?;
    let port = port(&mut forward).await?;
    ask(port).await?;
    assert!(world.path("ready.json").exists());
    assert_eq!(world.list().await?.len(), 1);
    say(&mut stdin, "a word").await?;
    let ended = forward.wait().await?;
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(3), format!("port {port}\nsaid a word\n").as_str(), "")
    );
    refused(port).await?;
    assert!(!world.path("ready.json").exists() && world.sockets()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_it_is_told() -> Test {
    let world = World::new(PROGRAM).await?;
    let print = "printf '%s\\n' \"$@\" $FWD_HOST $FWD_ADDR $FWD_API_80_ADDR $FWD_DB_8080_ADDR \"$FWD_OTHER\"";
    let words = [
        "sh",
        "-c",
        print,
        "sh",
        "{port}",
        "{host}:{port:svc/api}",
        "{addr:db}",
        "{{port}}",
        "${port}",
        r#"{"a":{"port":{port:8080}}}"#,
        "-x{port:nam}",
        "{ports}",
    ];
    let mut command = beside(&world, "svc/api :80 sts/db :8080 --name nam", &words[..10]);
    command.arg(OsStr::from_bytes(b"\xff{port}")).env("FWD_OTHER", "kept");
    let output = within("the command", command.output()).await??;
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').collect();
    let text = |at: usize| String::from_utf8_lossy(lines[at]);
    let api: u16 = text(0).parse()?;
    let db = text(2).into_owned();
    let db_port = db.trim_start_matches("127.0.0.1:");
    assert_eq!(text(1), format!("127.0.0.1:{api}"));
    assert_eq!((text(3).as_ref(), text(4).as_ref()), ("{port}", "${port}"));
    assert_eq!(text(5), format!(r#"{{"a":{{"port":{db_port}}}}}"#));
    assert_eq!(lines[6], b"\xff{port}");
    let expected =
        ["127.0.0.1".to_owned(), text(1).into_owned(), text(1).into_owned(), db.clone(), "kept".into()];
    assert_eq!((7..12).map(|at| text(at).into_owned()).collect::<Vec<_>>(), expected);
    // Both have the name.
    let ran = run(&world, "svc/api :80 sts/db :8080 --name nam", &words).await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("{port:nam} in the command could mean 2 forwards"), "{}", ran.stderr);
    Ok(())
}

/// The limit of open files that we raise for ourselves is not the command's.
#[tokio::test]
async fn its_limit_of_open_files() -> Test {
    let world = World::new(PROGRAM).await?;
    let line = format!("ulimit -S -n 300; exec {PROGRAM} svc/api :80 -- sh -c 'ulimit -n'");
    let mut command = sandbox::support::forward::command("sh".as_ref(), &world.kubeconfig(), &["-c", &line]);
    let ran: Ended = within("it", command.output()).await??.try_into()?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "300\n"), "{}", ran.stderr);
    Ok(())
}

/// A Unix socket has a path and nothing else.
#[tokio::test]
async fn a_socket() -> Test {
    let world = World::new(PROGRAM).await?;
    let words = ["sh", "-c", "echo $1 $FWD_ADDR ${FWD_PORT-none} ${FWD_HOST-none}", "sh", "{addr}"];
    let mut command = beside(&world, "svc/api unix:s:80", &words);
    let output: Ended = within("it", command.env("FWD_PORT", "1").output()).await??.try_into()?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "s s none none\n"), "{}", output.stderr);
    let ran = run(&world, "svc/api unix:s:80", &["x", "{port}"]).await?;
    assert!(ran.stderr.contains("which has no port") && ran.code == Some(1), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn with_a_set() -> Test {
    let world = World::new(PROGRAM).await?;
    let set = "version: 1\nforwards:\n- {target: svc/api, ports: [':80'], name: one}\n- {target: sts/db, ports: [':8080'], name: two}\n";
    world.write("fwd.yaml", set)?;
    let ran = run(&world, "up", &["sh", "-c", "echo {port:one} {port:two} $FWD_PORT"]).await?;
    let ports: Vec<&str> = ran.stdout.split_whitespace().collect();
    assert!(
        ran.code == Some(0) && ports.len() == 3 && ports[0] == ports[2] && ports[0] != ports[1],
        "{ran:?}"
    );
    // What runs in another process is told as well, and goes on without the command.
    let (other, taken) = world.working("sts/db :8080").await?;
    world.write("fwd.yaml", &set.replace("':8080'", &format!("'{taken}:8080'")))?;
    let ran = run(&world, "up", &["sh", "-c", "echo {port:one} {port:two}"]).await?;
    assert!(ran.code == Some(0) && ran.stdout.ends_with(&format!(" {taken}\n")), "{ran:?}");
    world.write(
        "fwd.yaml",
        &format!("version: 1\nforwards:\n- {{target: sts/db, ports: ['{taken}:8080']}}\n"),
    )?;
    let ran = run(&world, "up", &["sh", "-c", "sleep 0.1; echo {addr}; exit 4"]).await?;
    assert_eq!((ran.code, ran.stdout), (Some(4), format!("127.0.0.1:{taken}\n")), "{}", ran.stderr);
    ask(taken).await?;
    other.end("TERM").await?;
    // What was not started has no port, and the command does not run.
    world.write("fwd.yaml", &set.replace("sts/db", "sts/nope"))?;
    let words = ["sh", "-c", "echo ran {port:one}"];
    let ran = run(&world, "up --keep-going", &words).await?;
    assert!(ran.code == Some(0) && ran.stdout.starts_with("ran "), "{ran:?}");
    assert!(ran.stderr.contains("sts/nope") || ran.stderr.contains("statefulset nope"), "{}", ran.stderr);
    let ran = run(&world, "up --keep-going", &["sh", "-c", "echo ran {port:two}"]).await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.stderr.contains("{port:two} in the command means sts/nope:8080, which was not started"),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// Its screen is not written to. What happened is told in the end, or goes to a file.
#[tokio::test]
async fn nothing_is_said_meanwhile() -> Test {
    let world = World::new(PROGRAM).await?;
    for to in ["", "--log log.txt"] {
        let (mut forward, mut stdin) = script(&world, &format!("svc/api :80 {to}"), SCRIPT)?;
        let port = port(&mut forward).await?;
        let pod = ask(port).await?;
        let mut client = world.client().await?;
        client.call("portforward:subscribe", serde_json::json!({})).await?;
        world.sandbox.delete("pod", "default", &pod)?;
        client.event(|told| told["event"] == "retargeted").await?;
        assert_eq!(forward.said_on_stderr(), "");
        say(&mut stdin, "enough").await?;
        let ended = forward.wait().await?;
        assert_eq!(ended.code, Some(3));
        let line = format!("svc/api: pod {pod} ");
        if to.is_empty() {
            let begin = format!("kubectl fwd, while the command ran:\n  {line}");
            assert!(ended.stderr.starts_with(&begin), "{}", ended.stderr);
        } else {
            assert_eq!(ended.stderr, "");
            let log = std::fs::read_to_string(world.path("log.txt"))?;
            assert!(log.contains(&line) && log.contains("Forwarding from 127.0.0.1:"), "{log}");
            assert_eq!(std::fs::metadata(world.path("log.txt"))?.permissions().mode() & 0o777, 0o600);
        }
        world.sandbox.settled().await?;
    }
    Ok(())
}

#[tokio::test]
async fn mistakes() -> Test {
    let world = World::new(PROGRAM).await?;
    for (line, words, says) in [
        ("svc/api :80 -d", &["x"][..], "'x' cannot run with --detach"),
        ("svc/api :80 -o json", &["x"], "'x' cannot run with --output json"),
        ("svc/api :80", &[""], "the command behind '--' is empty"),
        (
            "svc/api :80",
            &["x", "{port:other}"],
            "as in {port:svc/api:80}; to pass on the text {port:other} itself, write {{port:other}}",
        ),
        ("svc/nope :80", &["x", "{port:apy}"], "no forward is meant by {port:apy}"),
        ("up -d", &["x"], "'x' cannot run with --detach"),
        ("list", &["x"], "unexpected arguments after '--': x"),
        ("", &["svc/api", ":80"], "write the target and its ports in front of it"),
    ] {
        let ran = run(&world, line, words).await?;
        assert!(ran.code == Some(1) && !ran.stdout.contains("forwarding"), "{line}: {ran:?}");
        assert!(ran.stderr.contains(says), "{line}: {}", ran.stderr);
    }
    Ok(())
}
