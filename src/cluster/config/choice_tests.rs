use std::path::Path;

use secrecy::ExposeSecret;

use super::*;
use crate::cluster::config::kubeconfig::Kubeconfig;

const CONFIG: &str = "
current-context: dev
contexts:
- {name: dev, context: {cluster: c1, user: u1, namespace: team}}
- {name: prod, context: {cluster: c2, user: u2}}
- {name: lost, context: {cluster: nowhere, user: u1}}
clusters:
- {name: c1, cluster: {server: 'https://one:6443/prefix', certificate-authority-data: AAAA, tls-server-name: inner}}
- {name: c2, cluster: {server: 'https://two', insecure-skip-tls-verify: true}}
users:
- {name: u1, user: {token: t1}}
- {name: u2, user: {exec: {command: plugin}}}
";

fn files() -> KubeconfigFiles {
    KubeconfigFiles {
        config: Kubeconfig::parse(CONFIG.as_bytes(), Path::new("/k")).unwrap(),
        read: vec!["/k".into()],
        looked: vec!["/k".into()],
    }
}

fn chosen(flags: &Flags) -> ClusterChoice {
    choose(&files(), flags, None).unwrap()
}

fn refused(flags: &Flags) -> Fatal {
    choose(&files(), flags, None).err().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "short for the flags' type")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn contexts() {
    let dev = chosen(&Flags::default());
    assert_eq!((dev.context.as_deref(), dev.namespace.as_str()), (Some("dev"), "team"));
    assert_eq!(dev.server.uri, "https://one:6443/prefix");
    assert_eq!(dev.user.token.as_ref().map(|t| t.expose_secret().to_owned()), some("t1"));
    let prod = chosen(&Flags { context: some("prod"), ..Flags::default() });
    assert_eq!((prod.namespace.as_str(), prod.user.exec.is_some()), ("default", true));
    let mixed = chosen(&Flags {
        cluster: some("c2"),
        user: some("u2"),
        namespace: some("other"),
        ..Flags::default()
    });
    assert_eq!(mixed.server.uri, "https://two/");
    assert_eq!((mixed.namespace.as_str(), mixed.user.exec.is_some()), ("other", true));
}

#[test]
fn unknown_names() {
    use miette::Diagnostic;
    for (flags, code, help) in [
        (
            Flags { context: some("pord"), ..Flags::default() },
            "fwd::kubeconfig::unknown_context",
            "did you mean 'prod'? contexts: dev, lost, prod",
        ),
        (
            Flags { cluster: some("c3"), ..Flags::default() },
            "fwd::kubeconfig::unknown_cluster",
            "clusters: c1, c2",
        ),
        (Flags { user: some("u3"), ..Flags::default() }, "fwd::kubeconfig::unknown_user", "users: u1, u2"),
        (
            Flags { context: some("lost"), ..Flags::default() },
            "fwd::kubeconfig::unknown_cluster",
            "clusters: c1, c2",
        ),
    ] {
        let error = refused(&flags);
        assert_eq!(error.code(), code);
        let text = Diagnostic::help(&error).unwrap().to_string();
        assert!(text.contains(help), "{text}");
    }
}

#[test]
fn flags_win() {
    let choice = chosen(&Flags {
        server: some("https://three"),
        token: Some("t9".into()),
        certificate_authority: Some("/ca".into()),
        as_user: some("jane"),
        as_groups: vec!["a".into(), "b".into()],
        as_uid: some("7"),
        as_user_extra: vec!["k=1".into(), "k=2=3".into()],
        ..Flags::default()
    });
    assert_eq!(choice.server.uri, "https://three/");
    assert_eq!(choice.cluster.certificate_authority.as_deref(), Some("/ca"));
    assert_eq!(choice.cluster.certificate_authority_data, None);
    assert_eq!(choice.cluster.tls_server_name, None);
    assert_eq!(choice.user.token.as_ref().map(|t| t.expose_secret().to_owned()), some("t9"));
    assert_eq!(choice.user.impersonate.as_deref(), Some("jane"));
    assert_eq!(choice.user.impersonate_groups.as_ref().map(Vec::len), Some(2));
    let extra = choice.user.impersonate_user_extra.unwrap();
    assert_eq!(extra["k"], ["1", "2=3"]);
    // A password replaces the plugin.
    let basic = chosen(&Flags {
        context: some("prod"),
        username: some("u"),
        password: Some("p".into()),
        ..Flags::default()
    });
    assert!(basic.user.exec.is_none() && basic.user.username.is_some());
}

#[test]
fn impersonation_needs_a_user() {
    assert_eq!(
        refused(&Flags { as_groups: vec!["a".into()], ..Flags::default() }).code(),
        "fwd::usage::impersonation"
    );
    let bad = Flags { as_user: some("j"), as_user_extra: vec!["k".into()], ..Flags::default() };
    assert_eq!(refused(&bad).code(), "fwd::usage::as_user_extra");
}

#[test]
fn nothing_to_choose_from() {
    let empty = KubeconfigFiles { config: Kubeconfig::default(), read: vec![], looked: vec![] };
    let refused = |files: &KubeconfigFiles| choose(files, &Flags::default(), None).err().unwrap();
    assert_eq!(refused(&empty).code(), "fwd::kubeconfig::none");
    let bare = choose(&empty, &Flags { server: some("localhost:8080"), ..Flags::default() }, None);
    assert_eq!(bare.unwrap().server.uri, "http://localhost:8080/");
    let mut without = files();
    without.config.current_context = None;
    assert_eq!(refused(&without).code(), "fwd::kubeconfig::no_context");
}

/// A pod's account in a directory of its own, which goes with it.
struct Account(InClusterConfig);

impl Account {
    fn new(test: &str) -> Self {
        let account = std::env::temp_dir().join(format!("kubectl-fwd-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&account).unwrap();
        std::fs::write(account.join("token"), "t\n").unwrap();
        std::fs::write(account.join("namespace"), "own\n").unwrap();
        Self(InClusterConfig { host: "10.0.0.1".into(), port: "443".into(), namespace: None, account })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0.account);
    }
}

#[test]
fn in_a_pod() {
    let account = Account::new("in-a-pod");
    let pod = Some(&account.0);
    let mut without = files();
    without.config.current_context = None;
    // No current context, though there are contexts: the pod's own cluster, as kubectl has it.
    for files in [KubeconfigFiles { config: Kubeconfig::default(), read: vec![], looked: vec![] }, without] {
        let own = choose(&files, &Flags::default(), pod).unwrap();
        assert_eq!(
            (own.server.uri.to_string().as_str(), own.namespace.as_str()),
            ("https://10.0.0.1:443/", "own")
        );
        assert_eq!(own.user.token_file.as_deref(), account.0.account.join("token").to_str());
    }
    // A context is used, and only its missing namespace is the pod's.
    assert_eq!(choose(&files(), &Flags::default(), pod).unwrap().namespace, "team");
    let prod = Flags { context: some("prod"), ..Flags::default() };
    assert_eq!(choose(&files(), &prod, pod).unwrap().namespace, "own");
    let mut files = files();
    files.config.current_context = None;
    let flags = Flags { token: Some("t9".into()), namespace: some("n"), ..Flags::default() };
    let mixed = choose(&files, &flags, pod).unwrap();
    assert_eq!((mixed.server.uri.host(), mixed.namespace.as_str()), (Some("10.0.0.1"), "n"));
    assert!(mixed.user.token_file.is_none() && mixed.user.token.is_some());
    // Another server is not the pod's cluster, so it is not shown the pod's token.
    let other = choose(&files, &Flags { server: some("https://a"), ..Flags::default() }, pod).unwrap();
    assert!(other.user.token_file.is_none());
}

#[test]
fn servers() {
    let server = |text: &str, insecure: Option<bool>| {
        let cluster =
            Cluster { server: some(text), insecure_skip_tls_verify: insecure, ..Cluster::default() };
        server(&cluster, None)
    };
    // What is said of certificates does not change client-go's guess.
    assert_eq!(server("a:6443", Some(true)).unwrap().uri, "http://a:6443/");
    let error = server("ftp://u:s3cret@a", None).err().unwrap();
    assert_eq!(error.to_string(), "'ftp://***@a' is not the URL of a server");
    assert!(server("https://", None).is_err());
}

#[test]
fn a_ca_and_no_verification_exclude_each_other() {
    let text = CONFIG.replace(
        "insecure-skip-tls-verify: true",
        "insecure-skip-tls-verify: true, certificate-authority: /x",
    );
    let files =
        KubeconfigFiles { config: Kubeconfig::parse(text.as_bytes(), Path::new("/k")).unwrap(), ..files() };
    let prod = |flags| choose(&files, &Flags { context: some("prod"), ..flags }, None);
    assert_eq!(prod(Flags::default()).err().unwrap().code(), "fwd::kubeconfig::certificate_authority");
    assert!(prod(Flags { insecure_skip_tls_verify: Some(true), ..Flags::default() }).is_ok());
    assert!(prod(Flags { certificate_authority: Some("/ca".into()), ..Flags::default() }).is_ok());
    // Not even where a flag says `=false` does the kubeconfig's word change.
    let kept =
        chosen(&Flags { context: some("prod"), insecure_skip_tls_verify: Some(false), ..Flags::default() });
    assert_eq!(kept.cluster.insecure_skip_tls_verify, Some(true));
}

#[test]
fn a_ca_is_not_needed_where_nothing_is_verified() {
    let insecure = chosen(&Flags { insecure_skip_tls_verify: Some(true), ..Flags::default() });
    assert_eq!(insecure.cluster.certificate_authority_data, None);
}
