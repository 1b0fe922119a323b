//! Servers that are no help: gone, unknown, or not what the URL says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sandbox::faults::{BadAnswer, Denial};
use sandbox::support::kubeconfig::{base64, cluster_of, for_server, kubeconfig};
use sandbox::support::servers::says;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::check::{check, check_one, fwd, sandbox};

/// What Go's servers say to plain HTTP on a TLS port.
const NOT_TLS: &str = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const WEB_PAGE: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 32\r\n\r\n\
                        <!DOCTYPE HTML>\n<html>lost</html>";

#[tokio::test]
async fn out_of_reach() {
    let sandbox = sandbox().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = format!("https://{gone}");
    let refused = for_server(&sandbox, "refused", &gone);
    let words =
        [&gone, "context 'here'", "connection refused", "is the cluster running", "kubectl config view"];
    // Each kind of target asks in its own way, and none of them may wait for what will not come.
    for (line, doing) in [
        ("svc/api :80", "cannot read service api in namespace default"),
        ("deploy/api :80", "cannot read deployment api in namespace default"),
        ("pod/solo :80", "cannot read pod solo in namespace default"),
        ("-l app=api :80", "cannot list the pods of namespace default"),
    ] {
        check(&refused, &[(line, &[&words[..], &[doing]].concat())]).await;
    }
    let unknown = for_server(&sandbox, "unknown", "https://no-such-host.invalid:6443");
    let words = ["https://no-such-host.invalid:6443", "unknown host", "VPN", "HTTPS_PROXY"];
    check(&unknown, &[("svc/api :80", &words)]).await;
    let mut proxied = fwd(&unknown, "svc/api :80");
    proxied.env("HTTPS_PROXY", "http://no-such-proxy.invalid:3128");
    check_one(proxied, &["proxy's host is unknown", "HTTPS_PROXY", "NO_PROXY"]).await;
}

#[tokio::test]
async fn silence() {
    let sandbox = sandbox().await;
    let silent = says(None).await;
    let tls = for_server(&sandbox, "silent", &format!("https://{silent}"));
    check(&tls, &[("svc/api :80", &[&silent, "the TLS handshake took longer than 10 s", "VPN"])]).await;
    let plain = for_server(&sandbox, "plain", &format!("http://{silent}"));
    check(&plain, &[("svc/api :80 --request-timeout 300ms", &[&silent, "0.3 s", "VPN"])]).await;
    sandbox.faults().latency(Duration::from_secs(2));
    let words = ["cannot read service api", "0.3 s"];
    check(&sandbox.kubeconfig("admin"), &[("svc/api :80 --request-timeout 0.3s", &words)]).await;
}

#[tokio::test]
async fn certificates() {
    let (sandbox, other) = (sandbox().await, sandbox().await);
    let url = sandbox.url();
    let unknown = for_server(&sandbox, "unknown-ca", &url);
    // What a cluster that was made anew under the old address looks like.
    let mut old = cluster_of(&other);
    old["server"] = json!(url);
    let old = kubeconfig(&sandbox, "old-ca", &old, &json!({ "token": "s3cret" }));
    for (path, help) in [(unknown, "certificate-authority in the kubeconfig"), (old, "its new kubeconfig")] {
        let words = [&url, "signed by an unknown authority", "--certificate-authority FILE", help];
        check(&path, &[("svc/api :80", &words), ("pod/solo :80", &words)]).await;
    }
    let words =
        ["is for localhost, kubernetes, sandbox, 127.0.0.1, not for other.example", "--tls-server-name"];
    check(&sandbox.kubeconfig("admin"), &[("svc/api :80 --tls-server-name other.example", &words)]).await;
    for (name, from, until, words) in [
        ("expired", 2001, 2002, ["the server's certificate has expired", "has to replace"]),
        ("early", 2190, 2191, ["the server's certificate is not valid yet", "clock"]),
    ] {
        let (server, certificate) = with_certificate(from, until).await;
        let cluster = json!({ "server": server, "certificate-authority-data": base64(&certificate) });
        let path = kubeconfig(&sandbox, name, &cluster, &json!({ "token": "s3cret" }));
        check(&path, &[("svc/api :80", &words)]).await;
    }
}

/// A server that only shakes hands, its URL, and its self-signed certificate, valid in these years.
async fn with_certificate(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())];
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    (url, certificate.pem())
}

#[tokio::test]
async fn another_protocol() {
    let sandbox = sandbox().await;
    let address = sandbox.address();
    let (go, web) = (says(Some(NOT_TLS)).await, says(Some(WEB_PAGE)).await);
    for (name, server, words) in [
        ("plain-to-tls", format!("http://{address}"), ["the answer is not HTTP", "begin with https://"]),
        ("plain-to-go", format!("http://{go}"), ["HTTP request to an HTTPS server", "begin with https://"]),
        ("tls-to-plain", format!("https://{web}"), ["does not speak TLS", "begin with http://"]),
        ("web", format!("http://{web}"), ["404: the answer is a web page", "an API server?"]),
    ] {
        let path = for_server(&sandbox, name, &server);
        let words = ["cannot read", &server, words[0], words[1]];
        check(&path, &[("svc/api :80", &words), ("pod/solo :80", &words)]).await;
    }
}

#[tokio::test]
async fn trouble() {
    let sandbox = sandbox().await;
    for (status, words) in [
        (StatusCode::TOO_MANY_REQUESTS, ["429", "try again"]),
        (StatusCode::INTERNAL_SERVER_ERROR, ["500", "try again"]),
        (StatusCode::SERVICE_UNAVAILABLE, ["503", "try again"]),
    ] {
        sandbox.faults().deny(Denial::new(status).path("/services/"));
        let words = ["cannot read service api in namespace default", words[0], words[1]];
        check(&sandbox.kubeconfig("admin"), &[("svc/api :80", &words)]).await;
        sandbox.faults().clear();
    }
}

/// Answers that do not end, or are more than anybody can hold.
#[tokio::test]
async fn answers_without_measure() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    for (bad_answer, line, words) in [
        (BadAnswer::Half, "svc/api :80 --request-timeout 300ms", "the answer was not complete within 0.3 s"),
        (BadAnswer::Endless, "svc/api :80", "longer than 8 MiB, the most that is read of one object"),
        (BadAnswer::Bomb, "svc/api :80", "longer than 8 MiB, the most that is read of one object"),
        (BadAnswer::Wordy, "svc/api :80", "500: its explanation is longer than 1 MiB"),
    ] {
        sandbox.faults().deny(Denial::new(StatusCode::OK).bad_answer(bad_answer).path("/services/"));
        check(&admin, &[(line, &["cannot read service api in namespace default", words])]).await;
        sandbox.faults().clear();
    }
    // The watcher is patient, and tells in the end what it was that it waited for.
    sandbox.faults().deny(Denial::new(StatusCode::OK).bad_answer(BadAnswer::Circle).path("limit=500"));
    let words =
        ["its pods could not be read within 1s", &sandbox.url(), "each page of the list leads to the same"];
    check_one(fwd(&admin, "-l app=api :8080 --pod-running-timeout 1s"), &words).await;
}

/// What no API server answers is told as that, and what one says of a request is not blamed on others.
#[tokio::test]
async fn answers_that_make_no_sense() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let said = |status, text| Denial::new(status).text(text);
    for (denial, words) in [
        (said(StatusCode::TOO_MANY_REQUESTS, ""), ["429: Too Many Requests", "try again"]),
        (said(StatusCode::OK, "log in, please"), ["the answer is text/plain", "the URL of an API server"]),
        (said(StatusCode::FOUND, ""), ["302: it leads to nowhere", "the URL of an API server"]),
        (said(StatusCode::METHOD_NOT_ALLOWED, "<p>no"), ["405: the answer is a web page", "a proxy"]),
        (
            said(StatusCode::BAD_REQUEST, "unable to parse requirement: found '', expected: '('"),
            ["400: unable to parse requirement: found ''", "check the selector"],
        ),
    ] {
        sandbox.faults().deny(denial.path("/services/"));
        check(&admin, &[("svc/api :80", &["cannot read service api", words[0], words[1]])]).await;
        sandbox.faults().clear();
    }
}

#[tokio::test]
async fn credentials_that_are_not_accepted() {
    let sandbox = sandbox().await;
    let words = ["401", "context 'sandbox'", "log in to the cluster again"];
    for (user, extra) in
        [("expired", ""), ("admin", "--token s3cret"), ("admin", "--username u --password s3cret")]
    {
        let service = format!("svc/api :80 {extra}");
        let pod = format!("pod/solo :80 {extra}");
        let labels = format!("-l app=api :80 {extra}");
        let rows: [(&str, &[&str]); 3] = [(&service, &words), (&pod, &words), (&labels, &words)];
        check(&sandbox.kubeconfig(user), &rows).await;
    }
    let nobody = kubeconfig(&sandbox, "nobody", &cluster_of(&sandbox), &json!({}));
    check(&nobody, &[("svc/api :80", &["401", "log in"])]).await;
    check(
        Path::new(&sandbox.kubeconfig("admin")),
        &[("svc/api :80 --as-group x", &["--as-group", "need --as", "add --as USER"])],
    )
    .await;
}
