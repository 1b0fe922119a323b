//! Errors of the cluster, in words.
//!
//! kube's errors are chains of wrappers ("ServiceError: client error (Connect)") around one fact. [`reason`] finds
//! the fact; [`fatal`] adds which server, which context and what to do.

use std::{
    borrow::{Borrow, Cow},
    error::Error,
    io,
};

use http::StatusCode;
use kube::core::Status;
use serde_json::error::Category;

pub use super::denied::Denied;
use super::{
    answer::{NotKubernetes, TooLong},
    client::Cluster,
    connect::{DialError, Stage, UnknownHost},
    proxied::ProxyError,
    tls::words,
    transport::Late,
};
use crate::error::Fatal;

/// What to do about a 401.
pub const LOG_IN: &str = "the credentials are missing, wrong or expired: log in to the cluster again";

/// What to do about an answer that the API server would word otherwise.
const NOT_THE_SERVER: &str =
    "a proxy or a firewall in between may have answered; `kubectl version` takes the same way";

/// What API servers, and other programs in Go, say of a path that they do not know.
const NO_SUCH_PATH: [&str; 2] = ["404 page not found", "the server could not find the requested resource"];

/// What of a server's words is shown: some sentences. They are one sentence, as a rule.
const SHOWN: usize = 1000;

/// The server and the context that a message names.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub server: String,
    pub context: Option<String>,
}

/// The one fact of an error.
enum Fact<'a> {
    /// The server answered, and says no.
    Status(&'a Status),
    /// A rustls error.
    Tls(&'a rustls::Error),
    /// No answer in time, while this.
    Late(String),
    /// The host's name leads nowhere.
    UnknownHost,
    /// The system refused.
    Io(&'a io::Error),
    /// The proxy did not lead to the server; its words are next.
    Proxy(String),
    /// What answers does not speak HTTP.
    NotHttp,
    /// What answers is no API server, or does not behave like one.
    Odd(String),
    /// An error of ours, already worded.
    Ours(&'a Fatal),
    /// Anything else: the innermost words.
    Other(String),
}

/// A short reason of one failed attempt: `connection refused`, `certificate expired`, `403: User "dev" cannot …`.
pub fn reason(error: &(dyn Error + 'static)) -> String {
    match fact(error) {
        Fact::Status(status) => status_reason(status),
        Fact::Tls(error) => words::reason(error),
        Fact::Late(words) | Fact::Proxy(words) | Fact::Odd(words) | Fact::Other(words) => words,
        Fact::UnknownHost => "unknown host".to_owned(),
        Fact::NotHttp => "what answers there does not speak HTTP".to_owned(),
        Fact::Io(error) => io_reason(error),
        // A plugin's words are among the causes, and may be lines.
        Fact::Ours(fatal) => {
            let lines = fatal.causes().flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
            std::iter::once(fatal.to_string()).chain(lines.map(str::to_owned)).collect::<Vec<_>>().join(": ")
        }
    }
}

/// The same as an error that ends the command, with what to do next. `doing` completes "cannot".
pub fn fatal(doing: &str, cluster: &Cluster, error: impl Borrow<kube::Error>) -> Fatal {
    explain(doing, &cluster.place(), error.borrow())
}

/// What the server said no to, with what to do next.
pub fn refused(doing: &str, cluster: &Cluster, status: &Status) -> Fatal {
    explain_status(doing, &cluster.place(), status)
}

pub(super) fn explain(doing: &str, place: &Place, error: &(dyn Error + 'static)) -> Fatal {
    let server = &place.server;
    let context = place.context.as_ref().map(|name| format!(" (context '{name}')")).unwrap_or_default();
    let reach = |code, why: String| {
        Fatal::new(code, format!("cannot {doing}")).because(format!("{server}{context}: {why}"))
    };
    let why = reason(error);
    match fact(error) {
        Fact::Ours(fatal) => fatal.clone(),
        Fact::Status(status) => explain_status(doing, place, status),
        Fact::UnknownHost => reach("fwd::cluster::unknown-host", why).help(
            "check the server's name and the network; behind a VPN or a proxy, connect it or set HTTPS_PROXY",
        ),
        Fact::Late(_) => reach("fwd::cluster::timeout", why)
            .help("is the network, or the VPN to the cluster, connected? `kubectl version` takes the same way"),
        Fact::Proxy(_) => reach("fwd::cluster::proxy", why).help(
            "the proxy comes from proxy-url in the kubeconfig, else HTTPS_PROXY; NO_PROXY lists hosts to reach directly",
        ),
        Fact::Tls(error) => reach("fwd::cluster::tls", why).help(words::help(error)),
        Fact::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            reach("fwd::cluster::refused", why)
                .help("is the cluster running, and is this its address? `kubectl config view --minify` shows it")
        }
        Fact::Io(_) => reach("fwd::cluster::unreachable", why).help("try again; `kubectl version` takes the same way"),
        Fact::NotHttp if server.starts_with("http://") => reach("fwd::cluster::needs-tls", why)
            .help("if it is an API server, its URL has to begin with https://"),
        Fact::NotHttp => reach("fwd::cluster::not-http", why)
            .help("is this the API server's address and port? `kubectl config view --minify` shows it"),
        Fact::Odd(_) => reach("fwd::cluster::failed", why)
            .help("is this the URL of an API server, and no proxy's in between? `kubectl config view --minify` shows it"),
        Fact::Other(_) => reach("fwd::cluster::failed", why).help("`kubectl version` takes the same way"),
    }
}

fn explain_status(doing: &str, place: &Place, status: &Status) -> Fatal {
    let context = place.context.as_ref().map(|name| format!("context '{name}', ")).unwrap_or_default();
    let what = format!("cannot {doing}");
    let why = format!("{} ({context}{})", status_reason(status), place.server);
    match status.code {
        401 => Fatal::new("fwd::access::unauthorized", what).because(why).help(LOG_IN),
        403 => {
            let error = Fatal::new("fwd::access::forbidden", what).because(why);
            match Denied::parse(&status.message) {
                Some(denied) => error.help(denied.help()),
                None if is_kubernetes(status) => error.help("ask the cluster's administrator for this right"),
                None => error.help(NOT_THE_SERVER),
            }
        }
        404 if NO_SUCH_PATH.iter().any(|words| status.message.starts_with(words)) => {
            Fatal::new("fwd::access::not-found", what).because(why).help(
                "the server has no such API: is this the URL of a Kubernetes API server, and of version 1.21 or newer?",
            )
        }
        404 => Fatal::new("fwd::access::not-found", what)
            .because(why)
            .help("is this the URL of an API server? `kubectl config view --minify` shows it"),
        429 | 500..=599 => Fatal::new("fwd::cluster::overloaded", what).because(why).help(match retry_after(status) {
            0 => "the server has trouble; try again".to_owned(),
            seconds => format!("the server has trouble; it wants to be asked again in {seconds} s"),
        }),
        400 if status.message.contains("HTTP request to an HTTPS server") => {
            Fatal::new("fwd::cluster::needs-tls", what)
                .because(why)
                .help("the server's URL has to begin with https://")
        }
        400 | 422 if is_about_selector(status) => Fatal::new("fwd::access::refused", what)
            .because(why)
            .help("check the selector: -l app=web, -l 'app in (web, api)', -l 'tier!=cache'"),
        _ if is_kubernetes(status) => Fatal::new("fwd::access::refused", what)
            .because(why)
            .help("the API server itself says so; `kubectl get` is told the same"),
        _ => Fatal::new("fwd::access::refused", what).because(why).help(NOT_THE_SERVER),
    }
}

/// Walks down to the fact.
fn fact<'a>(error: &'a (dyn Error + 'static)) -> Fact<'a> {
    let mut next = Some(error);
    let mut last = error;
    let mut stage = None;
    while let Some(error) = next {
        last = error;
        if let Some(ours) = error.downcast_ref::<Fatal>() {
            return Fact::Ours(ours);
        }
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            return Fact::Status(status);
        }
        if let Some(status) = error.downcast_ref::<Status>() {
            return Fact::Status(status);
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return match stage {
                Some(Stage::ProxyTls) => Fact::Proxy(words::reason(tls).replace("the server", "the proxy")),
                _ => Fact::Tls(tls),
            };
        }
        if let Some(late) = error.downcast_ref::<Late>() {
            return Fact::Late(late.to_string());
        }
        if let Some(dial) = error.downcast_ref::<DialError>() {
            if dial.cause.is_none() {
                return Fact::Late(dial.to_string());
            }
            stage = Some(dial.stage);
        }
        if let Some(words) = odd(error) {
            return Fact::Odd(words);
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return Fact::NotHttp;
        }
        if error.is::<UnknownHost>() {
            return match stage {
                Some(Stage::FindProxy) => Fact::Proxy("the proxy's host is unknown".to_owned()),
                _ => Fact::UnknownHost,
            };
        }
        if let Some(proxy) = error.downcast_ref::<ProxyError>() {
            return Fact::Proxy(proxy.to_string());
        }
        // An io::Error that carries another error hands out that one's source, not the error itself.
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => match io.get_ref() {
                Some(inner) => Some(inner as _),
                None => {
                    return match stage {
                        Some(stage) if stage.is_of_the_proxy() => {
                            Fact::Proxy(format!("the proxy: {}", io_reason(io)))
                        }
                        _ => Fact::Io(io),
                    };
                }
            },
            None => error.source(),
        };
    }
    if stage.is_some_and(Stage::is_of_the_proxy) {
        Fact::Proxy(format!("the proxy: {last}"))
    } else {
        Fact::Other(last.to_string())
    }
}

/// What no API server answers.
fn odd(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(other) = error.downcast_ref::<NotKubernetes>() {
        return Some(other.to_string());
    }
    if let Some(long) = error.downcast_ref::<TooLong>() {
        return Some(long.to_string());
    }
    // Its own words may quote what was answered.
    if let Some(json) = error.downcast_ref::<serde_json::Error>() {
        let what = match json.classify() {
            Category::Eof => "the answer is empty, or cut short",
            Category::Syntax => "the answer is no JSON",
            Category::Data | Category::Io => "the answer is not the object that was asked for",
        };
        return Some(what.to_owned());
    }
    if error.is::<std::string::FromUtf8Error>() {
        return Some("the answer is no text".to_owned());
    }
    match error.downcast_ref::<hyper::Error>() {
        Some(http) if http.is_parse() && http.to_string().contains("too large") => {
            Some("the head of its answer is too long".to_owned())
        }
        Some(http) if http.is_incomplete_message() => {
            Some("the connection was closed before the answer".to_owned())
        }
        _ => None,
    }
}

fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        io::ErrorKind::BrokenPipe => "connection broken".to_owned(),
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        // `No route to host (os error 113)` without the number.
        _ => {
            let words = error.to_string();
            let words = words.split(" (os error").next().unwrap_or_default();
            let mut letters = words.chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
    }
}

fn status_reason(status: &Status) -> String {
    if let Some(denied) = Denied::parse(&status.message) {
        return format!("{}: {denied}", status.code);
    }
    let words = if status.message.is_empty() { &status.reason } else { &status.message };
    match words.trim() {
        "" => match StatusCode::from_u16(status.code).ok().and_then(|code| code.canonical_reason()) {
            Some(meaning) => format!("{}: {meaning}", status.code),
            None => format!("status {}", status.code),
        },
        // A proxy's or another server's; its markup tells a person nothing.
        page if page.starts_with('<') => format!("{}: the answer is a web page", status.code),
        words => format!("{}: {}", status.code, cut(words)),
    }
}

/// The beginning of what is too long to be read.
fn cut(words: &str) -> Cow<'_, str> {
    match words.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}… ({} bytes more)", &words[..at], words.len() - at).into(),
        None => words.into(),
    }
}

/// Whether an API server says so: it gives each refusal a reason, in one word. Proxies do not.
fn is_kubernetes(status: &Status) -> bool {
    !status.reason.is_empty()
}

/// Such as `unable to parse requirement: found '', expected: '('`.
fn is_about_selector(status: &Status) -> bool {
    ["unable to parse requirement", "elector"].iter().any(|words| status.message.contains(words))
}

/// In how many seconds the server wants to be asked again; 0 where it does not say.
pub(super) fn retry_after(status: &Status) -> u32 {
    status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
}

#[cfg(test)]
mod tests;
