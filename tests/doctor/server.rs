//! The way to the server, interrupted at each step.

use http::StatusCode;
use sandbox::faults::{BadAnswer, Denial, UpgradeFault};
use sandbox::support::kubeconfig::for_server;
use sandbox::support::servers::{nowhere, says};

use crate::run::{doctor, examine, examine_with, sandbox};

#[tokio::test]
async fn nobody_is_there() {
    let sandbox = sandbox().await;
    let unknown =
        examine(&for_server(&sandbox, "unknown", "https://no-such-host.invalid:6443"), "svc/api").await;
    unknown.fails(&["dns"]);
    unknown.says("dns", "failed", &["unknown host", "https://no-such-host.invalid:6443"]);
    for name in ["tcp", "tls", "http", "version", "clock", "login", "rights", "protocols", "target", "pods"] {
        unknown.says(name, "skipped", &["dns"]);
    }
    let gone = nowhere().await;
    let refused = examine(&for_server(&sandbox, "refused", &format!("https://{gone}")), "").await;
    refused.fails(&["tcp"]);
    refused.says("dns", "ok", &[]);
    refused.says("tcp", "failed", &["connection refused", "is the cluster running"]);

    let untrusted = examine(&for_server(&sandbox, "untrusted", &sandbox.url()), "").await;
    untrusted.fails(&["tls"]);
    untrusted.says("tcp", "ok", &[]);
    untrusted.says("tls", "failed", &["signed by an unknown authority", "--certificate-authority FILE"]);
}

/// It accepts, and never answers: at each step there is an end.
#[tokio::test]
async fn silence() {
    let sandbox = sandbox().await;
    let silent = says(None).await;
    let at = |name: &str, server: String| for_server(&sandbox, name, &server);
    let (tls, plain) = (at("tls", format!("https://{silent}")), at("plain", format!("http://{silent}")));
    sandbox
        .faults()
        .deny(Denial::new(StatusCode::OK).bad_answer(BadAnswer::Silent).path("/version").times(1));
    let admin = sandbox.kubeconfig("admin");
    let proxied = {
        let path = for_server(&sandbox, "silent-proxy", "https://api.example.com:6443");
        let mut command = doctor(&path, "");
        command.env("HTTPS_PROXY", format!("http://{silent}"));
        command
    };
    let (tls, plain, version, proxied) = tokio::join!(
        examine(&tls, ""),
        examine(&plain, "svc/api"),
        examine(&admin, ""),
        examine_with(proxied)
    );
    tls.fails(&["tls"]);
    tls.says("tls", "failed", &["the TLS handshake took longer than 10 s"]);
    plain.fails(&["http"]);
    plain.says("http", "failed", &["no answer within 10 s"]);
    plain.says("target", "skipped", &["http"]);
    version.fails(&["http"]);
    proxied.fails(&["proxy connect"]);
    proxied.says("proxy connect", "failed", &["connecting through the proxy took longer than 10 s"]);
}

/// The same for what is asked later.
#[tokio::test]
async fn silence_later_on() {
    let silent = |path: &str| Denial::new(StatusCode::OK).bad_answer(BadAnswer::Silent).path(path);
    let one = async |path: &'static str, line: &'static str| {
        let sandbox = sandbox().await;
        sandbox.faults().deny(silent(path));
        examine(&sandbox.kubeconfig("admin"), line).await
    };
    let upgrades = async {
        let sandbox = sandbox().await;
        sandbox.faults().upgrade_fault(UpgradeFault::Unanswered, None);
        examine(&sandbox.kubeconfig("admin"), "svc/api").await
    };
    let (login, rights, service, pods, upgrades) = tokio::join!(
        one("selfsubjectreviews", ""),
        one("selfsubjectaccessreviews", ""),
        one("/services/api", "svc/api"),
        one("/pods", "svc/api"),
        upgrades,
    );
    login.fails(&["login"]);
    login.says("login", "failed", &["no answer within 10 s"]);
    rights.fails(&["rights"]);
    service.fails(&["target"]);
    service.says("pods", "skipped", &["target"]);
    pods.fails(&["pods"]);
    upgrades.fails(&["protocols"]);
    upgrades.says("protocols", "failed", &["the WebSocket tunnel does not (no answer within 10 s)"]);
}

#[tokio::test]
async fn other_servers() {
    let sandbox = sandbox().await;
    let web =
        says(Some("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<htm>"))
            .await;
    let web = examine(&for_server(&sandbox, "web", &format!("http://{web}")), "").await;
    web.fails(&["http"]);
    web.says("http", "failed", &["404", "an API server"]);
    let ssh = says(Some("SSH-2.0-x\r\n")).await;
    let ssh = examine(&for_server(&sandbox, "ssh", &format!("http://{ssh}")), "").await;
    ssh.fails(&["http"]);
    ssh.says("http", "failed", &["the answer is not HTTP"]);
    let tls = says(Some("SSH-2.0-x\r\n")).await;
    let tls = examine(&for_server(&sandbox, "no-tls", &format!("https://{tls}")), "").await;
    tls.fails(&["tls"]);
    sandbox.faults().deny(Denial::new(StatusCode::SERVICE_UNAVAILABLE).path("/version"));
    let busy = examine(&sandbox.kubeconfig("admin"), "").await;
    busy.fails(&["http"]);
    busy.says("http", "failed", &["503", "try again"]);
}

#[tokio::test]
async fn proxies() {
    let sandbox = sandbox().await;
    let path = for_server(&sandbox, "proxied", "https://api.example.com:6443");
    let through = async |proxy: String| {
        let mut command = doctor(&path, "");
        command.env("HTTPS_PROXY", proxy);
        examine_with(command).await
    };
    let gone = through(format!("http://{}", nowhere().await)).await;
    gone.fails(&["proxy tcp"]);
    gone.says("tls", "skipped", &["proxy tcp failed"]);
    gone.says("proxy tcp", "failed", &["the proxy: connection refused", "NO_PROXY"]);
    let unknown = through("http://no-such-proxy.invalid:3128".to_owned()).await;
    unknown.fails(&["proxy dns"]);
    let refuses = says(Some("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")).await;
    let refuses = through(format!("http://u:s3cret@{refuses}")).await;
    refuses.fails(&["proxy connect"]);
    refuses.says("cluster", "ok", &["through the proxy http://***@127.0.0.1", "from HTTPS_PROXY"]);
    refuses.says("proxy connect", "failed", &["refuses to connect there (502 Bad Gateway)"]);
    let bad = through("ftp://x".to_owned()).await;
    bad.fails(&["cluster"]);
}

#[tokio::test]
async fn clocks() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    for (skew, words) in [(600, "behind the server's"), (-600, "ahead of the server's")] {
        sandbox.faults().clock_skew(skew);
        let all = examine(&admin, "").await;
        all.fails(&[]);
        all.says("clock", "warning", &["this machine's clock is", words, "set the clock"]);
    }
}

#[tokio::test]
async fn an_old_server_that_does_not_say_who_one_is() {
    let sandbox = sandbox().await;
    sandbox.faults().deny(Denial::new(StatusCode::NOT_FOUND).path("selfsubjectreviews"));
    let all = examine(&sandbox.kubeconfig("nothing"), "svc/api").await;
    all.says("login", "ok", &["does not say who that is"]);
    all.says("may get services", "failed", &["bound to \"USER\""]);
}
