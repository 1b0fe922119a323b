//! Where sockets are: what is left by the dead, and what others have put there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use sandbox::support::{Test, World, ask};

#[tokio::test]
async fn the_directory_is_ours_alone() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_forward, _) = world.working("pod/solo :8080").await?;
    assert_eq!(fs::metadata(world.socket_directory())?.permissions().mode() & 0o777, 0o700);
    Ok(())
}

/// A killed process leaves its socket, and the next list takes it away.
#[tokio::test]
async fn after_a_kill() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (killed, _) = world.working("svc/web :80").await?;
    let (_forward, port) = world.working("pod/solo :8080").await?;
    assert_eq!(world.sockets()?.len(), 2);
    killed.signal("KILL").await?;
    assert_eq!(killed.wait().await?.code, None);
    assert_eq!(world.sockets()?.len(), 2);
    let ran = world.run("list -o json").await?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "the dead are no trouble");
    assert_eq!(world.sockets()?.len(), 1);
    ask(port).await?;
    Ok(())
}

/// What is no socket of ours stays, and is no trouble.
#[tokio::test]
async fn stale_and_strange_files() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_forward, _) = world.working("pod/solo :8080").await?;
    let directory = world.socket_directory();
    drop(UnixListener::bind(directory.join("1-dead.sock"))?);
    fs::write(directory.join("notes.txt"), "x")?;
    fs::write(directory.join("x-y.sock"), "x")?;
    // By their names they could be sockets.
    fs::write(directory.join("1-file.sock"), "x")?;
    symlink(directory.join("1-dead.sock"), directory.join("1-link.sock"))?;
    let _datagrams = std::os::unix::net::UnixDatagram::bind(directory.join("1-other.sock"))?;
    let all = world.list().await?;
    assert_eq!(all.len(), 1);
    assert!(
        !directory.join("1-dead.sock").exists()
            && directory.join("notes.txt").exists()
            && directory.join("x-y.sock").exists()
    );
    for name in ["1-file.sock", "1-link.sock", "1-other.sock"] {
        assert!(fs::symlink_metadata(directory.join(name)).is_ok(), "{name} was removed");
    }
    Ok(())
}

/// A directory that is not to be trusted is neither written to nor read; forwarding goes on, and the reason is told.
#[tokio::test]
async fn directories_that_others_made() -> Test {
    for (what, says) in [
        ("link", "is a symbolic link"),
        ("open", "its mode is not 0700"),
        ("file", "is not a directory"),
        ("other", "another user"),
    ] {
        let world = World::new(crate::PROGRAM).await?;
        let (directory, elsewhere) = (world.socket_directory(), world.sandbox.directory().join("elsewhere"));
        fs::create_dir(&elsewhere)?;
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o700))?;
        match what {
            "link" => symlink(&elsewhere, &directory)?,
            "file" => fs::write(&directory, "")?,
            _ => fs::create_dir(&directory)?,
        }
        match what {
            "open" => fs::set_permissions(&directory, Permissions::from_mode(0o755))?,
            "other" => {
                fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
                // Only root may give a directory away.
                if chown(&directory, Some(65534), None).is_err() {
                    continue;
                }
            }
            _ => {}
        }
        // The other directory, which is a fallback, is not to be had either.
        let mut command = world.command("pod/solo :8080");
        let nowhere = world.sandbox.directory().join("nowhere");
        command.env("TMPDIR", &nowhere);
        let mut forward = sandbox::support::forward::Forward::spawn(command)?;
        let port = forward.port().await?;
        assert_eq!(ask(port).await?, "solo");
        assert!(forward.said_on_stderr().contains(says), "{what}: {}", forward.said_on_stderr());
        let ran = world.run("list -o json").await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "[]\n"), "{what}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("help: "), "{what}: {}", ran.stderr);
        let ran = world.run("stop --all").await?;
        assert_eq!((ran.code, ran.stderr.matches(says).count()), (Some(1), 1), "{what}: {}", ran.stderr);
        assert_eq!(fs::read_dir(&elsewhere)?.count(), 0, "{what}");
        let mut command = world.command("serve");
        command.env("TMPDIR", &nowhere);
        let ended = sandbox::support::forward::Forward::spawn(command)?.wait().await?;
        assert_eq!(ended.code, Some(1), "{what}");
        assert!(
            ended.stderr.contains("no safe directory") && ended.stderr.contains(says),
            "{what}: {}",
            ended.stderr
        );
        assert_eq!(forward.end("INT").await?.code, Some(0));
    }
    Ok(())
}

/// Without a runtime directory sockets are in the temporary one, and who has one finds both.
#[tokio::test]
async fn without_a_runtime_directory() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let temporary = world.sandbox.directory().join("tmp");
    fs::create_dir(&temporary)?;
    let mut command = world.command("pod/solo :8080");
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &temporary);
    let mut forward = sandbox::support::forward::Forward::spawn(command)?;
    forward.port().await?;
    let (_other, _) = world.working("svc/web :80").await?;
    let mut command = world.command("list -o name");
    let output = command.env("TMPDIR", &temporary).output().await?;
    assert_eq!(String::from_utf8(output.stdout)?.lines().count(), 2);
    Ok(())
}
