//! The reason of a failure, in words.
//!
//! kube's errors are chains of wrappers ("ServiceError: client error (Connect)") around one fact. [`reason`] finds
//! the fact.

use std::{borrow::Cow, error::Error, io};

use http::StatusCode;
use kube::core::Status;
use serde_json::error::Category;

use super::{
    connect::{ConnectError, ConnectStage, ProxyError, UnknownHost},
    denied::Denied,
    response::{NotKubernetes, ResponseTimeout, ResponseTooLarge},
    tls,
};
use crate::error::{Fatal, io_message};

/// What of a server's words is shown: some sentences. They are one sentence, as a rule.
pub(in crate::cluster) const SHOWN: usize = 1000;

/// The one fact of an error.
pub(in crate::cluster) enum RootCause<'a> {
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
    match root_cause(error) {
        RootCause::Status(status) => status_reason(status),
        RootCause::Tls(error) => tls::reason(error),
        RootCause::Late(words)
        | RootCause::Proxy(words)
        | RootCause::Odd(words)
        | RootCause::Other(words) => words,
        RootCause::UnknownHost => "unknown host".to_owned(),
        RootCause::NotHttp => "the answer is not HTTP".to_owned(),
        RootCause::Io(error) => io_reason(error),
        // A plugin's words are among the causes, and may be lines.
        RootCause::Ours(fatal) => {
            let lines = fatal.causes().flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
            std::iter::once(fatal.to_string()).chain(lines.map(str::to_owned)).collect::<Vec<_>>().join(": ")
        }
    }
}

/// Walks down to the fact.
pub(in crate::cluster) fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> RootCause<'a> {
    let mut next = Some(error);
    let mut last = error;
    let mut stage = None;
    while let Some(error) = next {
        last = error;
        if let Some(ours) = error.downcast_ref::<Fatal>() {
            return RootCause::Ours(ours);
        }
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            return RootCause::Status(status);
        }
        if let Some(status) = error.downcast_ref::<Status>() {
            return RootCause::Status(status);
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return match stage {
                Some(ConnectStage::ProxyTls) => {
                    RootCause::Proxy(tls::reason(tls).replace("the server", "the proxy"))
                }
                _ => RootCause::Tls(tls),
            };
        }
        if let Some(late) = error.downcast_ref::<ResponseTimeout>() {
            return RootCause::Late(late.to_string());
        }
        if let Some(dial) = error.downcast_ref::<ConnectError>() {
            if dial.cause.is_none() {
                return RootCause::Late(dial.to_string());
            }
            stage = Some(dial.stage);
        }
        if let Some(words) = odd(error) {
            return RootCause::Odd(words);
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return RootCause::NotHttp;
        }
        if error.is::<UnknownHost>() {
            return match stage {
                Some(ConnectStage::FindProxy) => RootCause::Proxy("the proxy's host is unknown".to_owned()),
                _ => RootCause::UnknownHost,
            };
        }
        if let Some(proxy) = error.downcast_ref::<ProxyError>() {
            return RootCause::Proxy(proxy.to_string());
        }
        // An io::Error that carries another error hands out that one's source, not the error itself.
        next = match error.downcast_ref::<io::Error>() {
            // What rustls says of a connection that ended without its farewell is for programmers; the kind says it all.
            Some(io) => match io.get_ref().filter(|_| io.kind() != io::ErrorKind::UnexpectedEof) {
                Some(inner) => Some(inner as _),
                None => {
                    return match stage {
                        Some(stage) if stage.is_of_the_proxy() => {
                            RootCause::Proxy(format!("the proxy: {}", io_reason(io)))
                        }
                        _ => RootCause::Io(io),
                    };
                }
            },
            None => error.source(),
        };
    }
    if stage.is_some_and(ConnectStage::is_of_the_proxy) {
        RootCause::Proxy(format!("the proxy: {last}"))
    } else {
        RootCause::Other(last.to_string())
    }
}

/// What no API server answers.
fn odd(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(other) = error.downcast_ref::<NotKubernetes>() {
        return Some(other.to_string());
    }
    if let Some(long) = error.downcast_ref::<ResponseTooLarge>() {
        return Some(long.to_string());
    }
    // Its own words may quote what was answered.
    if let Some(json) = error.downcast_ref::<serde_json::Error>() {
        let what = match json.classify() {
            Category::Eof => "the answer is empty, or cut short",
            Category::Syntax => "the answer is not JSON",
            Category::Data | Category::Io => "the answer is not the object that was asked for",
        };
        return Some(what.to_owned());
    }
    if error.is::<std::string::FromUtf8Error>() {
        return Some("the answer is not text".to_owned());
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
        _ => {
            let words = io_message(error);
            let mut letters = words.chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
    }
}

pub(in crate::cluster) fn status_reason(status: &Status) -> String {
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

/// In how many seconds the server wants to be asked again; 0 where it does not say.
pub(in crate::cluster) fn retry_after(status: &Status) -> u32 {
    status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_without_a_farewell_is_closed() {
        let words = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls";
        assert_eq!(reason(&io::Error::new(io::ErrorKind::UnexpectedEof, words)), "connection closed");
        assert_eq!(reason(&io::Error::other("something else")), "something else");
    }
}
