//! Local addresses that cannot be had.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use sandbox::support::forward::Forward;

use crate::check::{check, fwd, sandbox};

/// A port that somebody has, and the listener that has it.
fn taken() -> (u16, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

/// A port that nobody has, outside the range from which the system gives ports to other tests.
fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (process::id() % 10_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

#[tokio::test]
async fn taken_ports() {
    let sandbox = sandbox().await;
    let (port, _holder) = taken();
    let line = format!("svc/api {port}:80");
    let taken = format!("local port {port} is taken (127.0.0.1:{port})");
    let mut words = vec![taken.as_str(), "which is free", "--auto-port", "as in :80"];
    let holder = format!("(process {}) listens on 127.0.0.1:{port}", process::id());
    // Other systems may not tell.
    if cfg!(target_os = "linux") {
        words.extend([holder.as_str(), "bad_input"]);
    }
    check(&sandbox.kubeconfig("admin"), &[(&line, &words)]).await;
}

#[tokio::test]
async fn another_port() {
    let sandbox = sandbox().await;
    let (port, _holder) = taken();
    let command = fwd(&sandbox.kubeconfig("admin"), &format!("svc/api {port}:80 --auto-port"));
    let mut running = Forward::spawn(command).unwrap();
    let bound = running.port().await.unwrap();
    assert!(bound > port, "{bound}");
    running.stderr(&format!("svc/api: local port {port} is taken, using {bound}")).await.unwrap();
    let ended = running.end("TERM").await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn addresses() {
    let sandbox = sandbox().await;
    let words = ["192.0.2.1 is not an address of this machine", "0.0.0.0 for all"];
    let port = format!("svc/api 192.0.2.1:{}:80", free());
    let rows: [(&str, &[&str]); 2] = [(&port, &words), ("svc/api :80 --address 192.0.2.1", &words)];
    check(&sandbox.kubeconfig("admin"), &rows).await;
}

/// All or none: what could be had is let go, and nothing was ever said to work.
#[tokio::test]
async fn one_bad_target_of_several() {
    let sandbox = sandbox().await;
    let (port, _holder) = taken();
    for (bad, words) in [
        ("svc/wbe :80".to_owned(), ["there is no service wbe", "did you mean 'web'?"]),
        ("svc/web 81".to_owned(), ["port 81 of service web", "kubectl fwd svc/web 80"]),
        (format!("svc/web {port}:80"), ["is taken", "is free"]),
        ("pod/sol :80".to_owned(), ["there is no pod sol", "did you mean 'solo'?"]),
    ] {
        let (first, last) = (free(), free());
        let line = format!("svc/api {first}:80 {bad} svc/db {last}:5432");
        check(&sandbox.kubeconfig("admin"), &[(&line, &words)]).await;
        for port in [first, last] {
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{line}: {port} is still taken");
        }
    }
}

/// What works is said to work while the other is waited for; when that is in vain, nothing is left behind.
#[tokio::test]
async fn one_target_never_ready() {
    let sandbox = sandbox().await;
    let port = free();
    let line = format!("svc/api {port}:80 svc/stuck :80 --pod-running-timeout 500ms");
    let ended = Forward::spawn(fwd(&sandbox.kubeconfig("admin"), &line)).unwrap().wait().await.unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("error: svc/stuck: no pod was ready within 500ms"), "{}", ended.stderr);
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port} is still taken");
}

#[cfg(unix)]
mod unix {
    use std::io::{self, Write as _};
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;
    use crate::check::check_one;

    /// `nobody`, who may not bind it.
    const NOBODY: u32 = 65534;

    #[tokio::test]
    async fn privileged_ports() {
        let sandbox = sandbox().await;
        let (server, token) = (sandbox.url(), sandbox.token("admin").unwrap());
        // Not a file, which another user could not read.
        let flags = format!("-s {server} --token {token} --insecure-skip-tls-verify");
        let root = std::fs::metadata(sandbox.directory()).unwrap().uid() == 0;
        let run = |line: &str| {
            let mut command = fwd(&sandbox.kubeconfig("admin"), line);
            command.env_remove("KUBECONFIG").env("HOME", "/");
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let skipped = if may_bind().await {
            Some("this system lets anyone bind port 81")
        } else if run("version").output().await.is_err() {
            Some("the program is where only root can run it")
        } else {
            None
        };
        if let Some(why) = skipped {
            let _ = writeln!(io::stderr(), "SKIPPED privileged_ports: {why}");
            return;
        }
        let command = run(&format!("svc/api 81:80 {flags}"));
        check_one(command, &["cannot listen on local port 81", "below 1024", "use 808", "as in :80"]).await;
    }

    /// Whether the system lets those who are not root have port 81: macOS does not on loopback, Linux says.
    async fn may_bind() -> bool {
        let first = tokio::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").await;
        first.ok().and_then(|first| first.trim().parse::<u16>().ok()).is_some_and(|first| first <= 81)
    }

    /// What is somebody's is a conflict, whatever it is, and stays.
    #[tokio::test]
    async fn sockets() {
        let sandbox = sandbox().await;
        let path = |name: &str| sandbox.directory().join(name);
        let _stream = UnixListener::bind(path("stream")).unwrap();
        let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        std::fs::write(path("file"), "precious").unwrap();
        drop(UnixListener::bind(path("dead")).unwrap());
        symlink(path("dead"), path("link")).unwrap();
        let lost = path("no/x.sock").display().to_string();
        let rows = [
            ("stream", "a process listens on it"),
            ("datagrams", "a socket of another type"),
            ("file", "it is a regular file"),
            ("link", "it is a link"),
        ];
        let rows = rows.map(|(name, why)| {
            let path = path(name).display().to_string();
            (format!("svc/api unix:{path}:80"), [format!("{path} exists already"), why.to_owned()])
        });
        for (line, [exists, why]) in &rows {
            check(&sandbox.kubeconfig("admin"), &[(line, &[exists, why, "choose another path"])]).await;
        }
        let line = format!("svc/api unix:{lost}:80");
        check(&sandbox.kubeconfig("admin"), &[(&line, &[&lost, "cannot listen on"])]).await;
        assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "precious");
        for name in ["stream", "datagrams", "link", "dead"] {
            assert!(std::fs::symlink_metadata(path(name)).is_ok(), "{name} was removed");
        }
    }
}
