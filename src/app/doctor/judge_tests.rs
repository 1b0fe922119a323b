use super::*;
use crate::model::target::Kind;

const DAY: i64 = 24 * 60 * 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn came_out(check: &Check) -> (CheckStatus, &str) {
    (check.status, check.detail.as_str())
}

#[test]
fn an_error_is_told_whole_and_in_one_line() {
    let fatal = Fatal::new("fwd::x", "cannot read it").because("a\nb").because("c").help("do this");
    let check = failed("name", &fatal);
    assert_eq!(came_out(&check), (CheckStatus::Failed, "cannot read it: a b: c"));
    assert_eq!(check.advice.as_deref(), Some("do this"));
    assert_eq!(warned("name", &fatal).status, CheckStatus::Warning);
}

#[test]
fn what_is_said_of_a_cluster() {
    let plain = ClusterSummary {
        server: "https://a:6443".into(),
        context: Some("prod".into()),
        namespace: "default".into(),
        proxy: None,
        insecure: false,
        acts_as: None,
    };
    assert_eq!(came_out(&cluster(&plain)), (CheckStatus::Ok, "https://a:6443"));
    let proxied = ClusterSummary {
        proxy: Some(("http://p:3128".into(), "HTTPS_PROXY")),
        acts_as: Some("boss".into()),
        ..plain.clone()
    };
    assert_eq!(
        cluster(&proxied).detail,
        "https://a:6443, through the proxy http://p:3128 (from HTTPS_PROXY), acting as boss"
    );
    assert_eq!(cluster(&ClusterSummary { insecure: true, ..plain }).status, CheckStatus::Warning);
}

#[test]
fn when_credentials_end() {
    let token = |seconds| CredentialExpiry { token: Some(at(seconds)), certificate: None };
    let certificate = |from, until| CredentialExpiry {
        token: None,
        certificate: Some(Validity { from: at(from), until: at(until) }),
    };
    let plugin = CredentialKind::Plugin("aws".into());
    for (kind, expiry, status, detail) in [
        (&CredentialKind::None, CredentialExpiry::default(), CheckStatus::Warning, "are anonymous"),
        (&CredentialKind::Token, CredentialExpiry::default(), CheckStatus::Ok, "token"),
        (&CredentialKind::Token, token(1000 + 3600), CheckStatus::Ok, "token, valid for 60 min"),
        (&CredentialKind::Token, token(1060), CheckStatus::Warning, "token: it expires in 60 s, on 1970"),
        (&CredentialKind::Token, token(940), CheckStatus::Failed, "token: it expired 60 s ago, on 1970"),
        (&plugin, token(1060), CheckStatus::Ok, "credential plugin aws, valid for 60 s"),
        (&CredentialKind::Certificate, certificate(0, 100 * DAY), CheckStatus::Ok, "valid for 99 days"),
        (&CredentialKind::Certificate, certificate(0, 3 * DAY), CheckStatus::Warning, "expires in 2 days"),
        (&CredentialKind::Certificate, certificate(0, 10), CheckStatus::Failed, "expired 16 min ago"),
        (&CredentialKind::Certificate, certificate(2000, DAY), CheckStatus::Failed, "not valid before"),
    ] {
        let check = credentials(kind, expiry, at(1000));
        assert!(check.status == status && check.detail.contains(detail), "{check:?}");
        assert_eq!(check.advice.is_some(), status != CheckStatus::Ok, "{check:?}");
    }
}

#[test]
fn certificates_clocks_and_versions() {
    let until = |seconds| certificate(Validity { from: at(0), until: at(seconds) }, at(1000)).status;
    assert_eq!([until(30 * DAY), until(2 * DAY), until(10)], {
        use CheckStatus as S;
        [S::Ok, S::Warning, S::Warning]
    });
    assert_eq!(clock(Some(at(1000)), at(1030)).status, CheckStatus::Ok);
    assert_eq!(
        came_out(&clock(Some(at(1000)), at(1090))),
        (CheckStatus::Warning, "this machine's clock is 90 s ahead of the server's")
    );
    assert!(clock(Some(at(1000)), at(900)).detail.contains("100 s behind"));
    assert_eq!(clock(None, at(0)).status, CheckStatus::Skipped);
    let of = |minor| version(StatusCode::OK, Some(&ServerVersion { name: "v1.x".into(), minor })).status;
    assert_eq!((of(Some(33)), of(Some(20)), of(None)), {
        use CheckStatus as S;
        (S::Ok, S::Warning, S::Ok)
    });
    assert_eq!(version(StatusCode::OK, None).status, CheckStatus::Warning);
    assert_eq!(version(StatusCode::FORBIDDEN, None).status, CheckStatus::Skipped);
    assert_eq!(http(StatusCode::UNAUTHORIZED).status, CheckStatus::Ok);
    assert_eq!(http(StatusCode::NOT_FOUND).status, CheckStatus::Failed);
    assert_eq!(http(StatusCode::BAD_GATEWAY).status, CheckStatus::Failed);
}

#[test]
fn a_missing_right_comes_with_its_rule() {
    let known =
        RightsContext { lookup: PodLookup::Labels, minor: Some(36), user: Some("dev"), namespace: "x" };
    let asked: Vec<(Right, Option<bool>)> = rights::rights(Some(Kind::Service), PodLookup::Labels)
        .into_iter()
        .zip([Some(true), Some(false), Some(false), Some(true), None])
        .collect();
    let checks = rights(&asked, &known);
    let told: Vec<_> = checks.iter().map(|check| (check.name.as_str(), check.status)).collect();
    assert_eq!(
        told,
        [
            ("may get services", CheckStatus::Ok),
            ("may list pods", CheckStatus::Failed),
            ("may watch pods", CheckStatus::Warning),
            ("may create pods/portforward", CheckStatus::Ok),
            ("may get pods/portforward", CheckStatus::Warning),
        ]
    );
    let rule = checks[1].advice.as_deref().unwrap();
    assert!(rule.contains("bound to \"dev\"") && rule.contains("namespace: x"), "{rule}");
}

#[test]
fn pods_and_protocols() {
    let unready = Endpoint { ready: false, ..Endpoint::example("d") };
    let pods: Vec<Endpoint> = ["a", "b"].map(Endpoint::example).into_iter().chain([unready]).collect();
    assert_eq!(ready_pods(&pods).detail, "2 of 3 ready: a, b");
    assert_eq!(
        came_out(&ready_pods(&[Endpoint { ready: false, ..Endpoint::example("a") }])),
        (CheckStatus::Warning, "pod a is not ready, and is forwarded to all the same")
    );
    let tried = |websocket: Result<u64, &str>, spdy: Result<u64, &str>| {
        let result = |result: Result<u64, &str>| result.map(Duration::from_millis).map_err(str::to_owned);
        [(Protocol::WebSocketTunnel, result(websocket)), (Protocol::Spdy, result(spdy))]
    };
    for (trials, status, detail) in [
        (tried(Ok(5), Ok(6)), CheckStatus::Ok, "the WebSocket tunnel works (5 ms); SPDY works (6 ms)"),
        (tried(Ok(5), Err("no")), CheckStatus::Ok, "SPDY does not (no)"),
        (tried(Err("403"), Ok(6)), CheckStatus::Warning, "the WebSocket tunnel does not (403)"),
        (
            tried(Err("a"), Err("b")),
            CheckStatus::Failed,
            "the WebSocket tunnel does not (a); SPDY does not (b)",
        ),
    ] {
        let check = protocols(&trials, "api-1");
        assert!(check.status == status && check.detail.contains(detail), "{check:?}");
    }
    let legacy = [(Protocol::LegacyWebSocket, Ok(Duration::ZERO))];
    assert_eq!(protocols(&legacy, "a").status, CheckStatus::Warning);
    assert_eq!(protocols_by_version(Some(31)).status, CheckStatus::Ok);
    assert_eq!(protocols_by_version(Some(30)).status, CheckStatus::Warning);
    assert_eq!(protocols_by_version(None).status, CheckStatus::Skipped);
}
