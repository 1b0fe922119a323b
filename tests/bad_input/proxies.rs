//! Proxies that do not lead to the server: each has an end, and a word for what it said.

use sandbox::support::kubeconfig::for_server;
use sandbox::support::servers::says;
use tokio::net::TcpListener;

use crate::check::{check_one, fwd, sandbox};

/// A server that nobody looks up: its name is the proxy's to find.
const SERVER: &str = "https://api.example.com:6443";

#[tokio::test]
async fn refusals() {
    let sandbox = sandbox().await;
    let kubeconfig = for_server(&sandbox, "proxied", SERVER);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let wants = says(Some("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")).await;
    let page = says(Some("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<h1>no</h1>")).await;
    let other = says(Some("SSH-2.0-x\r\n")).await;
    let closes = says(Some("")).await;
    let no_socks = says(Some("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let refuses = says(Some("\u{5}\u{1}")).await;
    for (proxy, words) in [
        (format!("http://{gone}"), "the proxy: connection refused"),
        (wants.clone(), "requires a user and a password (407)"),
        (format!("u:s3cret@{wants}"), "does not accept this user and password (407)"),
        (page, "refuses to connect there (502 Bad Gateway)"),
        (other.clone(), "answer is not HTTP"),
        (closes, "the proxy closed the connection"),
        (format!("https://{other}"), "the proxy does not speak TLS"),
        (format!("socks5://{no_socks}"), "answer is not SOCKS5"),
        (format!("socks5h://{refuses}"), "requires a user and a password (SOCKS)"),
    ] {
        let mut command = fwd(&kubeconfig, "svc/api :80");
        command.env("HTTPS_PROXY", proxy);
        check_one(command, &[SERVER, words, "proxy-url in the kubeconfig", "NO_PROXY"]).await;
    }
}

#[tokio::test]
async fn silence() {
    let sandbox = sandbox().await;
    let kubeconfig = for_server(&sandbox, "silent-proxy", SERVER);
    let silent = says(None).await;
    let through = |proxy: String, words: &'static str| {
        let mut command = fwd(&kubeconfig, "svc/api :80");
        command.env("HTTPS_PROXY", proxy);
        async move { check_one(command, &[SERVER, words]).await }
    };
    tokio::join!(
        through(format!("http://{silent}"), "connecting through the proxy took longer than 10 s"),
        through(format!("socks5://{silent}"), "connecting through the proxy took longer than 10 s"),
        through(format!("https://{silent}"), "the TLS handshake with the proxy took longer than 10 s"),
    );
}
