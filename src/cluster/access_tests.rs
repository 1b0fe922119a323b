use miette::Diagnostic;
use rustls::{CertificateError, InvalidMessage};

use super::*;
use crate::cluster::error::{
    connect::{ConnectError, ConnectStage, UnknownHost},
    reason::SHOWN,
    response::ResponseTimeout,
};

const FORBIDDEN: &str = "pods \"db-0\" is forbidden: User \"dev\" cannot get resource \"pods/portforward\" in API group \"\" in the namespace \"default\"";

fn status(code: u16, message: &str) -> kube::Error {
    kube::Error::Api(Status::failure(message, "Reason").with_code(code).boxed())
}

fn service(error: impl Error + Send + Sync + 'static) -> kube::Error {
    kube::Error::Service(Box::new(error))
}

fn dial(stage: ConnectStage, cause: impl Error + Send + Sync + 'static) -> kube::Error {
    service(ConnectError { stage, cause: Some(Box::new(cause)) })
}

fn tls(error: rustls::Error) -> kube::Error {
    dial(ConnectStage::Tls, io::Error::new(io::ErrorKind::InvalidData, error))
}

fn place() -> ServerContext {
    ServerContext { server: "https://s:6443".into(), context: Some("dev".into()) }
}

#[test]
fn every_failure_has_its_words_and_code() {
    use rustls::Error::{InvalidCertificate, InvalidMessage as Message};
    let io = |kind| dial(ConnectStage::Connect, io::Error::from(kind));
    for (error, words, code) in [
        (io(io::ErrorKind::ConnectionRefused), "connection refused", "fwd::cluster::refused"),
        (
            service(ConnectError { stage: ConnectStage::Tls, cause: None }),
            "the TLS handshake took longer than 10 s",
            "fwd::cluster::timeout",
        ),
        (
            tls(InvalidCertificate(CertificateError::UnknownIssuer)),
            "signed by an unknown authority",
            "fwd::cluster::tls",
        ),
        (tls(InvalidCertificate(CertificateError::Expired)), "has expired", "fwd::cluster::tls"),
        (
            tls(Message(InvalidMessage::InvalidContentType)),
            "the server does not speak TLS",
            "fwd::cluster::tls",
        ),
        (
            dial(ConnectStage::ReachProxy, io::Error::from(io::ErrorKind::ConnectionRefused)),
            "the proxy: connection refused",
            "fwd::cluster::proxy",
        ),
        (
            dial(ConnectStage::ProxyTls, InvalidCertificate(CertificateError::Expired)),
            "the proxy's certificate has expired",
            "fwd::cluster::proxy",
        ),
        (
            dial(ConnectStage::FindProxy, UnknownHost(io::ErrorKind::NotFound.into())),
            "the proxy's host is unknown",
            "fwd::cluster::proxy",
        ),
        (
            dial(ConnectStage::Find, UnknownHost(io::ErrorKind::NotFound.into())),
            "unknown host",
            "fwd::cluster::unknown_host",
        ),
        (
            service(ConnectError { stage: ConnectStage::FindProxy, cause: None }),
            "looking up the proxy's name took longer than 10 s",
            "fwd::cluster::timeout",
        ),
        (
            service(ResponseTimeout::Head(std::time::Duration::from_secs(30))),
            "no answer within 30 s",
            "fwd::cluster::timeout",
        ),
        (status(401, "Unauthorized"), "401: Unauthorized", "fwd::access::unauthorized"),
        (
            status(400, "Client sent an HTTP request to an HTTPS server.\n"),
            "400: Client sent an HTTP request to an HTTPS server.",
            "fwd::cluster::needs_tls",
        ),
        (
            status(400, "unable to parse requirement: found '', expected: 'in'"),
            "400: unable to parse requirement",
            "fwd::access::refused",
        ),
        (
            service(crate::cluster::http::response::OBJECT.too_long()),
            "longer than 8 MiB, the most that is read of one object",
            "fwd::cluster::failed",
        ),
        (status(503, ""), "503: Reason", "fwd::cluster::overloaded"),
        (
            status(403, FORBIDDEN),
            "403: User \"dev\" cannot get pods/portforward in namespace default",
            "fwd::access::forbidden",
        ),
    ] {
        let reason = reason(&error);
        assert!(reason.contains(words), "{reason} / {words}");
        let fatal = explain("read service api", &place(), &error);
        assert_eq!(fatal.code(), code, "{reason}");
        assert_eq!(fatal.to_string(), "cannot read service api");
        let why = fatal.source().unwrap().to_string();
        assert!(why.contains("https://s:6443") && why.contains("context 'dev'"), "{why}");
    }
}

#[test]
fn the_rule_that_grants_it() {
    let fatal = explain("open a tunnel", &place(), &status(403, FORBIDDEN));
    let help = Diagnostic::help(&fatal).unwrap().to_string();
    assert!(help.contains("kind: Role\n") && help.contains("  namespace: default\n"), "{help}");
    assert!(help.contains(
        "- apiGroups: [\"\"]\n  resources: [\"pods/portforward\"]\n  verbs: [\"get\", \"create\"]"
    ));
    assert!(help.contains("bound to \"dev\""));
}

#[test]
fn recorded_denials() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/data/api/api-errors.json")).unwrap();
    let mut seen = Vec::new();
    for case in recorded.as_array().unwrap() {
        let line = case["stderr_last"][0].as_str().unwrap();
        if line.contains("Forbidden") {
            let denied = Denied::parse(line).unwrap();
            seen.push(format!(
                "{} {}.{} in {:?}",
                denied.verb, denied.resource, denied.group, denied.namespace
            ));
        }
    }
    assert_eq!(
        seen,
        [
            "list services. in Some(\"kube-system\")",
            "list deployments.apps in Some(\"default\")",
            "watch pods. in Some(\"default\")",
            "get pods/portforward. in Some(\"default\")",
        ]
    );
    let whole =
        Denied::parse("User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope");
    assert!(whole.unwrap().rule().contains("kind: ClusterRole\n"));
    assert_eq!(Denied::parse("no"), None);
}

#[test]
fn our_own_errors_pass_unchanged() {
    let ours = Fatal::new("fwd::auth::plugin", "credential plugin x failed").because("it exited");
    let error = service(ours.clone());
    assert_eq!(explain("read", &place(), &error), ours);
    assert_eq!(reason(&error), "credential plugin x failed: it exited");
}

/// Who is blamed: the selector, the server, or what stands in between.
#[test]
fn the_help_fits_who_answered() {
    let said = |code, message: &str, reason: &str| Status::failure(message, reason).with_code(code);
    for (status, words) in [
        (said(400, "unable to parse requirement: found ''", "BadRequest"), "check the selector"),
        (said(400, "something else", "BadRequest"), "the API server itself refuses it"),
        (said(405, "not here", ""), "a proxy or a firewall in between"),
        (said(403, "<html>blocked", ""), "a proxy or a firewall in between"),
        (said(403, "denied by a webhook", "Forbidden"), "ask the cluster's administrator"),
        (said(404, "404 page not found\n", ""), "has no such API"),
        (said(404, "<html>", ""), "is this the URL of an API server?"),
        (said(404, "pods \"x\" not found", "NotFound"), "is this the URL of an API server?"),
        (said(503, "", ""), "try again"),
    ] {
        let help = explain_status("read", &place(), &status).advice().unwrap().to_owned();
        assert!(help.contains(words), "{help} / {words}");
    }
}

#[test]
fn a_long_message_is_cut() {
    let reason = status_reason(&Status::failure(&"ä".repeat(5000), "x").with_code(500));
    assert_eq!(reason.len(), "500: ".len() + 2 * SHOWN + "… (8000 bytes more)".len());
    assert!(reason.ends_with("ä… (8000 bytes more)"), "{reason}");
}

#[test]
fn what_a_status_says() {
    for (message, expected) in [
        ("", "500: Internal Server Error"),
        (" it broke \n", "500: it broke"),
        ("<!DOCTYPE html>\n<p>secret", "500: the answer is a web page"),
        (
            "pods is forbidden: User \"dev\" cannot list resource \"pods\" in API group \"\" in the namespace \"x\"",
            "500: User \"dev\" cannot list pods in namespace x",
        ),
    ] {
        assert_eq!(status_reason(&Status::failure(message, "").with_code(500)), expected, "{message}");
    }
}
