//! Errors of the cluster, in words, with what to do about them.
//!
//! [`reason`] finds the one fact of an error; [`fatal`] adds which server, which context and what to do.

use std::{borrow::Borrow, error::Error, io};

use kube::core::Status;

use super::{
    client::Cluster,
    error::{
        denied::Denied,
        reason::{RootCause, reason, retry_after, root_cause, status_reason},
        tls,
    },
};
use crate::error::Fatal;

/// What to do about a 401.
pub const LOG_IN: &str = "the credentials are missing, wrong or expired: log in to the cluster again";

/// What to do about an answer that the API server would word otherwise.
const NOT_THE_SERVER: &str =
    "a proxy or a firewall in between may have answered; run `kubectl version` to check";

/// The code of the error that the server answers, and has trouble.
const OVERLOADED: &str = "fwd::cluster::overloaded";

/// What API servers, and other programs in Go, say of a path that they do not know.
const NO_SUCH_PATH: [&str; 2] = ["404 page not found", "the server could not find the requested resource"];

/// The server and the context that a message names.
#[derive(Debug, Clone)]
struct ServerContext {
    server: String,
    context: Option<String>,
}

impl ServerContext {
    fn of(cluster: &Cluster) -> Self {
        Self { server: cluster.server.clone(), context: cluster.context.clone() }
    }
}

/// The reason as an error that ends the command, with what to do next. `doing` completes "cannot".
pub fn fatal(doing: &str, cluster: &Cluster, error: impl Borrow<kube::Error>) -> Fatal {
    with_doctor(explain(doing, &ServerContext::of(cluster), error.borrow()), cluster)
}

/// The same for a connection that did not come to be, as the doctor tells it.
pub fn unconnected(doing: &str, cluster: &Cluster, error: &(dyn Error + 'static)) -> Fatal {
    explain(doing, &ServerContext::of(cluster), error)
}

/// Where the server was not reached, each step of the way is worth a look.
fn with_doctor(fatal: Fatal, cluster: &Cluster) -> Fatal {
    let is_on_the_way = fatal.code().starts_with("fwd::cluster::") && fatal.code() != OVERLOADED;
    match fatal.advice().filter(|_| is_on_the_way) {
        Some(advice) => {
            let help =
                format!("{advice}\nto check each step of the way, run: {}", cluster.kubectl_fwd("doctor"));
            fatal.help(help)
        }
        None => fatal,
    }
}

/// What the server said no to, with what to do next.
pub fn refused(doing: &str, cluster: &Cluster, status: &Status) -> Fatal {
    explain_status(doing, &ServerContext::of(cluster), status)
}

fn explain(doing: &str, place: &ServerContext, error: &(dyn Error + 'static)) -> Fatal {
    let server = &place.server;
    let context = place.context.as_ref().map(|name| format!(" (context '{name}')")).unwrap_or_default();
    let reach = |code, why: String| {
        Fatal::new(code, format!("cannot {doing}")).because(format!("{server}{context}: {why}"))
    };
    let why = reason(error);
    match root_cause(error) {
        RootCause::Ours(fatal) => fatal.clone(),
        RootCause::Status(status) => explain_status(doing, place, status),
        RootCause::UnknownHost => reach("fwd::cluster::unknown_host", why).help(
            "check the server's name and the network; behind a VPN or a proxy, connect it or set HTTPS_PROXY",
        ),
        RootCause::Late(_) => reach("fwd::cluster::timeout", why)
            .help("is the network, or the VPN to the cluster, connected? run `kubectl version` to check"),
        RootCause::Proxy(_) => reach("fwd::cluster::proxy", why).help(
            "the proxy comes from proxy-url in the kubeconfig, else HTTPS_PROXY; NO_PROXY lists hosts to reach directly",
        ),
        RootCause::Tls(error) => reach("fwd::cluster::tls", why).help(tls::help(error)),
        RootCause::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            reach("fwd::cluster::refused", why)
                .help("is the cluster running, and is this its address? `kubectl config view --minify` shows it")
        }
        RootCause::Io(_) => reach("fwd::cluster::unreachable", why).help("try again; run `kubectl version` to check"),
        RootCause::NotHttp if server.starts_with("http://") => reach("fwd::cluster::needs_tls", why)
            .help("if it is an API server, its URL has to begin with https://"),
        RootCause::NotHttp => reach("fwd::cluster::not_http", why)
            .help("is this the API server's address and port? `kubectl config view --minify` shows it"),
        RootCause::Odd(_) => reach("fwd::cluster::failed", why)
            .help("is this the URL of an API server, and no proxy's in between? `kubectl config view --minify` shows it"),
        RootCause::Other(_) => reach("fwd::cluster::failed", why).help("run `kubectl version` to check"),
    }
}

fn explain_status(doing: &str, place: &ServerContext, status: &Status) -> Fatal {
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
            Fatal::new("fwd::access::not_found", what).because(why).help(
                "the server has no such API: is this the URL of a Kubernetes API server, and of version 1.21 or newer?",
            )
        }
        404 => Fatal::new("fwd::access::not_found", what)
            .because(why)
            .help("is this the URL of an API server? `kubectl config view --minify` shows it"),
        429 | 500..=599 => Fatal::new(OVERLOADED, what).because(why).help(match retry_after(status) {
            0 => "the server failed; try again".to_owned(),
            seconds => format!("the server is overloaded; it asks to be tried again in {seconds} s"),
        }),
        400 if status.message.contains("HTTP request to an HTTPS server") => {
            Fatal::new("fwd::cluster::needs_tls", what)
                .because(why)
                .help("the server's URL has to begin with https://")
        }
        400 | 422 if is_about_selector(status) => Fatal::new("fwd::access::refused", what)
            .because(why)
            .help("check the selector: -l app=web, -l 'app in (web, api)', -l 'tier!=cache'"),
        _ if is_kubernetes(status) => Fatal::new("fwd::access::refused", what)
            .because(why)
            .help("the API server itself refuses it; run `kubectl get pods` to check"),
        _ => Fatal::new("fwd::access::refused", what).because(why).help(NOT_THE_SERVER),
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

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
