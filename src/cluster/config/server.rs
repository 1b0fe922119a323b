//! The API server's URL, and URLs as people may see them.

use http::{Uri, uri::Authority};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// Where the API server is. What the URL has of a user is kept apart, so that no error, log or list shows it.
#[derive(Clone)]
pub(in crate::cluster) struct ServerUrl {
    /// Scheme, host, port and path.
    pub uri: Uri,
    /// The user and the password that stand in the URL.
    pub user: Option<(String, SecretString)>,
}

impl ServerUrl {
    /// Reads a URL. One without a scheme is plain HTTP: that is client-go's guess, which is made before anything that is
    /// said of certificates is looked at.
    pub(in crate::cluster) fn parse(given: &str) -> Option<Self> {
        let full = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
        let uri: Uri = full.parse().ok()?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return None;
        }
        let authority = uri.authority()?.as_str();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let user = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (percent_decoded(name), percent_decoded(password).into())
        });
        let host: Authority = host.parse().ok()?;
        let bare = Uri::builder().scheme(uri.scheme_str()?).authority(host).path_and_query(uri.path());
        Some(Self { uri: bare.build().ok()?, user })
    }
}

/// A URL as it may be shown, whether or not it is one: without its user, its password and its query.
pub(in crate::cluster) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    // A password may hold anything, even a slash that should have been escaped: all before the last `@` goes.
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
            format!("{}***@{host}", scheme.unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

/// `%40` is `@`; what is no escape stays as it is.
pub(in crate::cluster) fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn urls() {
        for (given, uri) in [
            ("https://a:6443/prefix", "https://a:6443/prefix"),
            ("HTTPS://a", "https://a/"),
            ("a:6443", "http://a:6443/"),
            ("localhost:8080", "http://localhost:8080/"),
            ("[::1]:6443", "http://[::1]:6443/"),
            ("https://a/x?y=z#w", "https://a/x"),
            ("https://u:p@a:1/x", "https://a:1/x"),
        ] {
            assert_eq!(ServerUrl::parse(given).unwrap().uri, uri, "{given}");
        }
        for given in ["ftp://a", "https://", "https:///x", "", "a b", "https://u:p@", "://a"] {
            assert!(ServerUrl::parse(given).is_none(), "{given}");
        }
    }

    #[test]
    fn users_are_kept_apart() {
        let user = |given| {
            let (name, password) = ServerUrl::parse(given).unwrap().user.unwrap();
            (name, password.expose_secret().to_owned())
        };
        assert_eq!(user("https://j%40ne:p%3Aw@a"), ("j@ne".into(), "p:w".into()));
        assert_eq!(user("https://jane@a"), ("jane".into(), String::new()));
    }

    #[test]
    fn nothing_secret_is_shown() {
        for (url, expected) in [
            ("https://a/x", "https://a/x"),
            ("https://u:s3cret@a/x", "https://***@a/x"),
            ("https://u:s3/cret@a", "https://***@a"),
            ("u:s3cret@a:1", "***@a:1"),
            ("https://a?token=s3cret", "https://a"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
