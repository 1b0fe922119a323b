//! `--address`: each on one port, both families side by side, and no conflict with ourselves.

use std::net::{IpAddr, SocketAddr, TcpListener};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::start::fwd;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, answer, within};

/// The port in a line of stdout that says `Forwarding from ADDRESS:PORT`.
fn port_in(line: &str) -> Option<u16> {
    line.split_once(" -> ")?.0.rsplit_once(':')?.1.parse().ok()
}

#[tokio::test]
async fn both_families_on_one_port() -> Test {
    if TcpListener::bind("[::1]:0").is_err() {
        return Ok(());
    }
    let sandbox = cluster().await?;
    for (addresses, lines) in [
        ("0.0.0.0,::", &["0.0.0.0", "[::]"][..]),
        ("::,0.0.0.0", &["0.0.0.0", "[::]"]),
        ("localhost,0.0.0.0", &["0.0.0.0", "[::1]"]),
        ("::1,:: --address 127.0.0.1,127.0.0.1", &["127.0.0.1", "[::]"]),
    ] {
        let mut forward = fwd(&sandbox, &format!("svc/api :80 --address {addresses}"))?;
        let mut ports = Vec::new();
        for line in lines {
            let line = forward.stdout(&format!("Forwarding from {line}:")).await?;
            ports.extend(port_in(&line));
        }
        assert!(ports.len() == 2 && ports[0] == ports[1], "{addresses}: {ports:?}");
        for ip in ["127.0.0.1", "::1"] {
            let at = SocketAddr::new(ip.parse::<IpAddr>()?, ports[0]);
            let mut stream = within("a connection", TcpStream::connect(at)).await??;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
            assert!(answer(&mut stream).await?.starts_with(b"api-"), "{addresses}: {at}");
        }
        let ended = forward.end("TERM").await?;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{addresses}");
        assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout);
    }
    Ok(())
}

/// As with kubectl, where IPv4 takes another address: `0.0.0.0`.
#[tokio::test]
async fn every_ipv6_address_is_of_ipv6_alone() -> Test {
    if TcpListener::bind("[::1]:0").is_err() {
        return Ok(());
    }
    let sandbox = cluster().await?;
    // A listener on that port of every IPv4 address is not in its way.
    let other = TcpListener::bind("0.0.0.0:0")?;
    let port = other.local_addr()?.port();
    let mut forward = fwd(&sandbox, &format!("svc/api {port}:80 --address ::"))?;
    forward.stdout(&format!("Forwarding from [::]:{port} ")).await?;
    assert_eq!(forward.end("TERM").await?.code, Some(0));
    Ok(())
}
