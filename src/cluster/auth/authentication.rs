//! By which means a user authenticates, as client-go decides it, and the headers that follow from it alone.

use std::{collections::HashMap, path::PathBuf};

use http::{HeaderName, HeaderValue};
use kube::config::{AuthInfo, AuthProviderConfig, ExecConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{cluster::config::server::ServerUrl, error::Fatal};

/// What is escaped in the name of a header: all but letters, digits and what RFC 9110 allows beside them, without `%`.
const NOT_IN_A_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What gives the `Authorization` header of requests.
#[derive(Clone)]
pub(in crate::cluster) enum AuthMethod {
    /// Nothing does: a client certificate, or nobody at all.
    None,
    /// It is always the same.
    Header(HeaderValue),
    /// A file that somebody else keeps fresh. Where it cannot be read, `otherwise` is sent.
    File { path: PathBuf, otherwise: Option<HeaderValue> },
    /// A credential plugin.
    Plugin(Box<ExecConfig>),
    /// An OIDC issuer, by its legacy auth-provider.
    Oidc(HashMap<String, String>),
}

/// What kind of credential a user has, for people. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// The server is asked as nobody.
    None,
    /// A bearer token of the kubeconfig or the command line.
    Token,
    /// A file with a token that somebody else keeps fresh.
    TokenFile(PathBuf),
    /// A user's name and password.
    Password,
    /// A client certificate.
    Certificate,
    /// A credential plugin, by its command.
    Plugin(String),
    /// The legacy auth-provider `oidc`.
    Oidc,
}

impl AuthMethod {
    /// What it is called. `has_certificate` tells whether the user has a client certificate as well.
    pub(in crate::cluster) fn kind(&self, has_certificate: bool) -> CredentialKind {
        match self {
            Self::None if has_certificate => CredentialKind::Certificate,
            Self::None => CredentialKind::None,
            Self::Header(header) if header.as_bytes().starts_with(b"Basic ") => CredentialKind::Password,
            Self::Header(_) => CredentialKind::Token,
            Self::File { path, .. } => CredentialKind::TokenFile(path.clone()),
            Self::Plugin(exec) => CredentialKind::Plugin(exec.command.clone().unwrap_or_default()),
            Self::Oidc(_) => CredentialKind::Oidc,
        }
    }
}

/// The means of a user towards a server.
///
/// The URL's own user counts first, as in Go's HTTP client. Without TLS nothing else is sent, for anyone could read it.
/// A token, a password or a client certificate keep a plugin from being run, and the first two an auth-provider.
pub(in crate::cluster) fn auth_method(server: &ServerUrl, user: &AuthInfo) -> Result<AuthMethod, Fatal> {
    if let Some((name, password)) = &server.user {
        return Ok(AuthMethod::Header(basic(name, password)?));
    }
    if server.uri.scheme_str() == Some("http") {
        return Ok(AuthMethod::None);
    }
    if let Some(provider) = &user.auth_provider {
        known(provider)?;
    }
    let token = user.token.as_ref().map(|token| bearer(token.expose_secret().as_bytes())).transpose();
    let token = token.map_err(|error| error.help("check --token, or the user's token in the kubeconfig"))?;
    if let Some(path) = &user.token_file {
        return Ok(AuthMethod::File { path: path.into(), otherwise: token });
    }
    if let Some(header) = token {
        return Ok(AuthMethod::Header(header));
    }
    if let Some(name) = &user.username {
        return Ok(AuthMethod::Header(basic(
            name,
            user.password.as_ref().unwrap_or(&SecretString::default()),
        )?));
    }
    if let Some(provider) = &user.auth_provider {
        return Ok(AuthMethod::Oidc(provider.config.clone()));
    }
    let certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
    let key = user.client_key.is_some() || user.client_key_data.is_some();
    Ok(match &user.exec {
        Some(exec) if !(certificate && key) => AuthMethod::Plugin(Box::new(exec.clone())),
        _ => AuthMethod::None,
    })
}

/// Refuses auth-providers that client-go refuses, with its advice.
fn known(provider: &AuthProviderConfig) -> Result<(), Fatal> {
    let gone = |name: &str, help: &str| {
        Fatal::new(
            "fwd::auth::provider",
            format!("the auth-provider '{name}' of the kubeconfig cannot be used"),
        )
        .because("Kubernetes has removed it; a credential plugin replaces it")
        .help(help)
    };
    match provider.name.as_str() {
        "oidc" => Ok(()),
        "gcp" => Err(gone(
            "gcp",
            "install gke-gcloud-auth-plugin and get the kubeconfig again: `gcloud container clusters get-credentials`",
        )),
        "azure" => Err(gone(
            "azure",
            "install https://github.com/Azure/kubelogin and run `kubelogin convert-kubeconfig`",
        )),
        other => Err(Fatal::new(
            "fwd::auth::provider",
            format!("the auth-provider '{other}' of the kubeconfig is not known"),
        )
        .because("kubectl supports only oidc")
        .help("use a credential plugin: users[].user.exec of the kubeconfig")),
    }
}

/// `Bearer …`, marked as sensitive.
pub(super) fn bearer(token: &[u8]) -> Result<HeaderValue, Fatal> {
    sensitive(&[b"Bearer ", token].concat(), "token")
}

fn basic(name: &str, password: &SecretString) -> Result<HeaderValue, Fatal> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let words = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
    sensitive(format!("Basic {words}").as_bytes(), "password")
}

fn sensitive(bytes: &[u8], what: &str) -> Result<HeaderValue, Fatal> {
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| {
        Fatal::new("fwd::auth::unusable", format!("the {what} cannot be sent"))
            .because("it contains a line break or another character that is not allowed in a header")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The headers that ask the server to act as somebody else.
pub(in crate::cluster) fn impersonation(user: &AuthInfo) -> Result<Vec<(HeaderName, HeaderValue)>, Fatal> {
    let mut headers = Vec::new();
    let mut add = |name: HeaderName, flag: &str, text: &str| {
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            Fatal::new("fwd::auth::unusable", format!("cannot impersonate: {flag} cannot be sent"))
                .because("it contains a line break or another character that is not allowed in a header")
                .help("check --as, --as-uid, --as-group and --as-user-extra, and the same in the kubeconfig")
        })?;
        headers.push((name, value));
        Ok::<_, Fatal>(())
    };
    if let Some(name) = &user.impersonate {
        add(HeaderName::from_static("impersonate-user"), "the user", name)?;
    }
    if let Some(uid) = &user.impersonate_uid {
        add(HeaderName::from_static("impersonate-uid"), "the uid", uid)?;
    }
    for group in user.impersonate_groups.iter().flatten() {
        add(HeaderName::from_static("impersonate-group"), "a group", group)?;
    }
    let mut extra: Vec<_> = user.impersonate_user_extra.iter().flatten().collect();
    extra.sort();
    for (key, values) in extra {
        for value in values {
            add(extra_name(key)?, "an extra value", value)?;
        }
    }
    Ok(headers)
}

/// The name of an extra value's header: what a name may not hold is escaped, `%` too.
fn extra_name(key: &str) -> Result<HeaderName, Fatal> {
    let name = format!("impersonate-extra-{}", utf8_percent_encode(key, NOT_IN_A_NAME));
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Fatal::new("fwd::auth::unusable", "cannot impersonate: the name of an extra value cannot be sent")
            .because("it is too long")
            .help("check --as-user-extra, and as-user-extra in the kubeconfig")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https() -> ServerUrl {
        ServerUrl::parse("https://a").unwrap()
    }

    fn word(server: &ServerUrl, user: &AuthInfo) -> String {
        match auth_method(server, user) {
            Ok(AuthMethod::None) => "none".to_owned(),
            Ok(AuthMethod::Header(value)) => {
                assert!(value.is_sensitive());
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            }
            Ok(AuthMethod::File { path, otherwise }) => format!("{} {}", path.display(), otherwise.is_some()),
            Ok(AuthMethod::Plugin(_)) => "plugin".to_owned(),
            Ok(AuthMethod::Oidc(_)) => "oidc".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    fn provider(name: &str) -> AuthProviderConfig {
        AuthProviderConfig { name: name.to_owned(), ..AuthProviderConfig::default() }
    }

    #[test]
    fn what_counts_before_what() {
        let everything = || AuthInfo {
            token: Some("t".into()),
            token_file: Some("/f".into()),
            username: Some("u".into()),
            password: Some("p".into()),
            client_certificate: Some("/c".into()),
            client_key: Some("/k".into()),
            auth_provider: Some(provider("oidc")),
            exec: Some(ExecConfig::default()),
            ..AuthInfo::default()
        };
        let mut user = everything();
        assert_eq!(word(&https(), &user), "/f true");
        user.token_file = None;
        assert_eq!(word(&https(), &user), "Bearer t");
        user.token = None;
        assert_eq!(word(&https(), &user), "Basic dTpw");
        user.username = None;
        assert_eq!(word(&https(), &user), "oidc");
        user.auth_provider = None;
        assert_eq!(word(&https(), &user), "none");
        user.client_key = None;
        assert_eq!(word(&https(), &user), "plugin");
        for (server, expected) in
            [("http://a", "none"), ("https://u:p@a", "Basic dTpw"), ("http://u:p@a", "Basic dTpw")]
        {
            assert_eq!(word(&ServerUrl::parse(server).unwrap(), &everything()), expected);
        }
    }

    #[test]
    fn removed_providers_are_refused_with_advice() {
        for (name, help) in
            [("gcp", "gke-gcloud-auth-plugin"), ("azure", "kubelogin"), ("x", "credential plugin")]
        {
            let user = AuthInfo {
                auth_provider: Some(provider(name)),
                token: Some("t".into()),
                ..AuthInfo::default()
            };
            let error = auth_method(&https(), &user).err().unwrap();
            assert_eq!(error.code(), "fwd::auth::provider");
            assert!(error.advice().unwrap().contains(help), "{error:?}");
        }
    }

    #[test]
    fn what_no_header_can_hold_is_an_error() {
        let token = |token: &str| AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        assert_eq!(word(&https(), &token("s3cret\n")), "fwd::auth::unusable");
        let error = auth_method(&https(), &token("s3\0cret")).err().unwrap();
        assert!(!format!("{error:?}").contains("cret"));
        assert_eq!(word(&https(), &token("ü")), "Bearer ü");
        let named = |name: &str| AuthInfo { impersonate: Some(name.into()), ..AuthInfo::default() };
        assert!(impersonation(&named("a\nb")).is_err());
        assert_eq!(impersonation(&named("jürgen")).unwrap()[0].1.as_bytes(), "jürgen".as_bytes());
    }

    #[test]
    fn extra_values() {
        let extra = HashMap::from([("Example.com/Röle%".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        let user = AuthInfo { impersonate_user_extra: Some(extra), ..AuthInfo::default() };
        let headers = impersonation(&user).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[0].0, "impersonate-extra-example.com%2fr%c3%b6le%25");
    }
}
