//! Which proxy leads to the API server, as client-go decides it.
//!
//! `proxy-url` of the kubeconfig beats everything and is never bypassed. Else `HTTPS_PROXY` or `HTTP_PROXY`, by the
//! *server's* scheme, unless `NO_PROXY` names the server's host, or that host is this machine. kube asks `NO_PROXY`
//! about the proxy's own host instead, so the answer is computed here and handed to it.

use std::{borrow::Cow, net::IpAddr};

use http::Uri;
use ipnet::IpNet;

/// The proxies that words can name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cluster) struct ProxyEnvironment<'a> {
    /// `proxy-url`.
    pub explicit: Option<&'a str>,
    /// `HTTPS_PROXY`.
    pub https: Option<&'a str>,
    /// `HTTP_PROXY`.
    pub http: Option<&'a str>,
    /// `NO_PROXY`.
    pub bypass: Option<&'a str>,
}

/// Why a proxy's URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct ProxyUrlError {
    /// Where the URL was found: `proxy-url`, `HTTPS_PROXY`.
    pub source: &'static str,
    /// What is wrong with it, without its password.
    pub why: String,
}

/// The proxy for `server`, if there is to be one.
pub(in crate::cluster) fn choose(
    server: &Uri,
    variables: &ProxyEnvironment<'_>,
) -> Result<Option<Uri>, ProxyUrlError> {
    find(server, variables).map(|found| found.map(|(uri, _)| uri))
}

/// The same, with the place where it was found: `proxy-url`, `HTTPS_PROXY`.
pub(in crate::cluster) fn find(
    server: &Uri,
    variables: &ProxyEnvironment<'_>,
) -> Result<Option<(Uri, &'static str)>, ProxyUrlError> {
    let with = |source| move |uri| Some((uri, source));
    let present = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    if present(variables.explicit) {
        return parse("proxy-url", variables.explicit.unwrap_or_default()).map(with("proxy-url"));
    }
    let (source, text) = if server.scheme_str() == Some("http") {
        ("HTTP_PROXY", variables.http)
    } else {
        ("HTTPS_PROXY", variables.https)
    };
    if !present(text) || bypassed(server, variables.bypass.unwrap_or_default()) {
        return Ok(None);
    }
    parse(source, &with_scheme(text.unwrap_or_default())).map(with(source))
}

/// The environment's URL may lack a scheme, and is then taken for HTTP, as everywhere.
fn with_scheme(text: &str) -> Cow<'_, str> {
    if text.contains("://") { text.into() } else { format!("http://{}", text.trim()).into() }
}

/// Reads a proxy's URL.
fn parse(source: &'static str, text: &str) -> Result<Uri, ProxyUrlError> {
    let bad = |why: &str| ProxyUrlError { source, why: why.to_owned() };
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(bad("it has no scheme (http://, https:// or socks5://)"));
    };
    let full = format!("{}://{rest}", scheme.to_ascii_lowercase());
    let uri: Uri = full.parse().map_err(|_| bad("it is not a URL"))?;
    match uri.scheme_str() {
        _ if uri.host().is_none_or(str::is_empty) => Err(bad("it has no host")),
        Some("http" | "https" | "socks5" | "socks5h") => Ok(uri),
        other => {
            Err(bad(&format!("its scheme is '{}', not http, https or socks5", other.unwrap_or_default())))
        }
    }
}

/// Whether the server is reached directly, by the rules of Go's `httpproxy`.
fn bypassed(server: &Uri, no_proxy: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let ip = host.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    let default = if server.scheme_str() == Some("http") { 80 } else { 443 };
    let port = server.port_u16().unwrap_or(default).to_string();
    let host = host.to_ascii_lowercase();
    no_proxy.split(',').any(|word| matches(&word.trim().to_ascii_lowercase(), &host, ip, &port))
}

fn matches(word: &str, host: &str, ip: Option<IpAddr>, port: &str) -> bool {
    if word == "*" {
        return true;
    }
    if let Ok(net) = word.parse::<IpNet>() {
        return ip.is_some_and(|ip| net.contains(&ip));
    }
    let (name, wanted) = host_and_port(word).unwrap_or((word, ""));
    if !wanted.is_empty() && wanted != port {
        return false;
    }
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return ip == Some(wanted.to_canonical());
    }
    // Names are compared with names.
    if name.is_empty() || ip.is_some() {
        return false;
    }
    // `example.com` means it and what is below it; `.example.com` and `*.example.com` only what is below it.
    let below = |suffix: &str| host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    match name.strip_prefix('*').unwrap_or(name).strip_prefix('.') {
        Some(suffix) => below(suffix),
        None => host == name || below(name),
    }
}

/// `HOST:PORT` or `[ADDRESS]:PORT`, taken apart; the port may be empty. A bare IPv6 address has colons that are no port, and
/// brackets without a port are, as in Go, part of a name that no host has.
fn host_and_port(word: &str) -> Option<(&str, &str)> {
    let (name, port) = word.rsplit_once(':')?;
    match name.strip_prefix('[') {
        Some(address) => Some((address.strip_suffix(']')?, port)),
        None => Some((name, port)).filter(|_| !name.contains(':')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bypassed(server: &str, no_proxy: &str) -> bool {
        bypassed(&server.parse().unwrap(), no_proxy)
    }

    #[test]
    fn no_proxy() {
        for (server, list, expected) in [
            ("https://api.example.com", "", false),
            ("https://api.example.com", "*", true),
            ("https://api.example.com", "example.com", true),
            ("https://api.example.com", "EXAMPLE.com", true),
            ("https://api.example.com", ".example.com", true),
            ("https://api.example.com", "*.example.com", true),
            ("https://example.com", "example.com", true),
            ("https://example.com", ".example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://api.example.com", "foo, api.example.com ,bar", true),
            ("https://api.example.com:6443", "example.com:6443", true),
            ("https://api.example.com:6443", "example.com:443", false),
            ("https://api.example.com", "example.com:443", true),
            ("http://api.example.com", "example.com:80", true),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://11.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:1", false),
            ("https://10.1.2.3:6443", "10.1.2.30", false),
            ("https://[2001:db8::1]:6443", "2001:db8::/32", true),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:6443", true),
            ("https://10.1.2.3:6443", "10.0.0.0/999", false),
            ("https://[::ffff:10.1.2.3]:6443", "10.0.0.0/8", true),
            ("https://[::ffff:10.1.2.3]:6443", "10.1.2.3", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:443", false),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]", false),
            // An address is no name, and what looks like the end of one is none either.
            ("https://10.1.2.3:6443", "2.3", false),
            ("https://10.1.2.3:6443", ".3", false),
            ("https://api.example.com:6443", "example.com:", true),
            ("https://api.example.com:6443", "example.com:x", false),
            ("https://api.example.com:6443", "example.com:06443", false),
            ("https://api.example.com:6443", ":6443", false),
            ("https://api.example.com:6443", ",, ,", false),
            ("https://api.example.com:6443", " .example.com:6443 ", true),
            ("https://api.example.com:6443", "*.example.com:443", false),
            ("https://api.example.com:6443", "*example.com", false),
            ("https://api.example.com:6443", "api.*", false),
            ("https://api.example.com:6443", "other,*", true),
            ("https://api.example.com:6443", "other *", false),
            ("https://api.example.com.:6443", "example.com", false),
            ("https://api.example.com.:6443", "example.com.", true),
            ("https://LOCALHOST:6443", "", false),
            ("https://a.localhost:6443", "", false),
            ("https://127.1.2.3:6443", "", true),
            ("https://[::ffff:127.0.0.1]:6443", "", true),
            // This machine is never reached through a proxy of the environment.
            ("https://127.0.0.1:6443", "", true),
            ("https://localhost:6443", "", true),
            ("https://[::1]:6443", "", true),
        ] {
            assert_eq!(is_bypassed(server, list), expected, "{server} with NO_PROXY={list}");
        }
    }

    #[test]
    fn choices() {
        let chosen = |server: &str, variables: &ProxyEnvironment<'_>| {
            choose(&server.parse().unwrap(), variables).map(|uri| uri.map(|uri| uri.to_string()))
        };
        let environment = ProxyEnvironment {
            https: Some("http://secure:1"),
            http: Some("plain:2"),
            bypass: Some("corp"),
            ..ProxyEnvironment::default()
        };
        assert_eq!(chosen("https://a", &environment), Ok(Some("http://secure:1/".into())));
        assert_eq!(chosen("http://a", &environment), Ok(Some("http://plain:2/".into())));
        assert_eq!(chosen("https://a.corp", &environment), Ok(None));
        let explicit = ProxyEnvironment { explicit: Some("socks5://s:3"), ..environment.clone() };
        // Not even for a host that NO_PROXY names, nor for this machine.
        assert_eq!(chosen("https://a.corp", &explicit), Ok(Some("socks5://s:3/".into())));
        assert_eq!(chosen("https://127.0.0.1", &explicit), Ok(Some("socks5://s:3/".into())));
        assert_eq!(
            chosen("https://a", &ProxyEnvironment { https: Some(""), ..ProxyEnvironment::default() }),
            Ok(None)
        );
        for (text, uri) in [
            ("proxy:3128", "http://proxy:3128/"),
            ("10.0.0.1:3128", "http://10.0.0.1:3128/"),
            ("[::1]:3128", "http://[::1]:3128/"),
            ("proxy", "http://proxy/"),
            ("j:pw@proxy:3128", "http://j:pw@proxy:3128/"),
            ("SOCKS5://proxy", "socks5://proxy/"),
            ("socks5h://proxy:1", "socks5h://proxy:1/"),
            ("HTTPS://proxy/path", "https://proxy/path"),
        ] {
            let variables = ProxyEnvironment { https: Some(text), ..ProxyEnvironment::default() };
            assert_eq!(chosen("https://a", &variables), Ok(Some(uri.into())), "{text}");
        }
    }

    #[test]
    fn refusals_do_not_show_the_url() {
        for text in ["ftp://u:s3cret@h", "u:s3cret@h", "http://", "http://u:s3cret@ h"] {
            let refusal = choose(
                &Uri::from_static("https://a"),
                &ProxyEnvironment { explicit: Some(text), ..ProxyEnvironment::default() },
            );
            assert!(
                refusal.is_err_and(|bad| bad.source == "proxy-url" && !bad.why.contains("s3cret")),
                "{text}"
            );
        }
    }
}
