//! From what was found to a check: pure, and the only place of the doctor that words it.

use std::{fmt::Write as _, time::Duration};

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::names;
use crate::{
    cluster::probe::{ClusterSummary, CredentialExpiry, CredentialKind, Denied, ServerVersion, Validity},
    error::Fatal,
    model::{
        check::{Check, CheckStatus},
        endpoint::Endpoint,
    },
    policy::{
        rights::{self, MissingRight, PodLookup, Right, WEBSOCKET_SINCE},
        select::{self, Readiness},
    },
    tunnel::protocol::Protocol,
    ui::wording::duration_text,
};

/// A certificate that ends within this time is told before it does: somebody has to be asked for another.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A token that cannot be renewed and ends within this time is told: a forward has hardly begun by then.
const TOKEN_ENDS_SOON: SignedDuration = SignedDuration::from_mins(10);

/// Clocks that differ by less are fine: certificates and tokens are made with some tolerance.
const SKEW_TOLERATED: SignedDuration = SignedDuration::from_secs(30);

/// The oldest minor version that is known to work.
const OLDEST: u32 = 21;

/// Names of pods that are shown.
const PODS_SHOWN: usize = 3;

/// What to do where credentials have ended.
const LOG_IN: &str = "log in to the cluster again";

/// A check that failed for this.
pub(super) fn failed(name: impl Into<String>, fatal: &Fatal) -> Check {
    let why = fatal.causes().fold(fatal.to_string(), |text, cause| format!("{text}: {cause}"));
    let check = Check::failed(name, why.replace('\n', " "));
    match fatal.advice() {
        Some(advice) => check.advice(advice),
        None => check,
    }
}

/// The same for a target. What a missing right comes to is told where the right is.
pub(super) fn target_failed(fatal: &Fatal) -> Check {
    let check = failed(names::TARGET, fatal);
    match fatal.code() {
        "fwd::access::forbidden" => check.advice("ask for the rights that are missing above"),
        _ => check,
    }
}

/// A check that forwarding works in spite of, for this.
pub(super) fn warned(name: impl Into<String>, fatal: &Fatal) -> Check {
    Check { status: CheckStatus::Warning, ..failed(name, fatal) }
}

/// Where the cluster is.
pub(super) fn cluster(found: &ClusterSummary) -> Check {
    let mut detail = found.server.clone();
    // Writing to a string does not fail.
    if let Some((proxy, source)) = &found.proxy {
        let _ = write!(detail, ", through the proxy {proxy} (from {source})");
    }
    if let Some(user) = &found.acts_as {
        let _ = write!(detail, ", acting as {user}");
    }
    if found.insecure {
        let _ = write!(detail, "; its certificate is not checked");
        return Check::warning(names::CLUSTER, detail).advice(
            "anyone on the way can read and change what is sent: remove insecure-skip-tls-verify, and give the cluster's CA",
        );
    }
    Check::ok(names::CLUSTER, detail)
}

/// The user's credentials, and until when they work.
pub(super) fn credentials(kind: &CredentialKind, expiry: CredentialExpiry, now: Timestamp) -> Check {
    let name = names::CREDENTIALS;
    let (what, renewed) = match kind {
        CredentialKind::None if expiry.certificate.is_none() => {
            return Check::warning(name, "the kubeconfig has none for this user: requests are anonymous")
                .advice("log in to the cluster, or give --token");
        }
        CredentialKind::None | CredentialKind::Certificate => ("client certificate".to_owned(), false),
        CredentialKind::Token => ("token".to_owned(), false),
        CredentialKind::TokenFile(path) => (format!("token in {}", path.display()), true),
        CredentialKind::Password => ("user name and password".to_owned(), false),
        CredentialKind::Plugin(command) => (format!("credential plugin {command}"), true),
        CredentialKind::Oidc => ("OIDC token".to_owned(), true),
    };
    let ends = [expiry.token, expiry.certificate.map(|validity| validity.until)];
    let early = expiry.certificate.map(|validity| validity.from).filter(|from| *from > now);
    if let Some(from) = early {
        return Check::failed(name, format!("{what}: the client certificate is not valid before {from}"))
            .advice("is this machine's clock right?");
    }
    let Some(end) = ends.into_iter().flatten().min() else { return Check::ok(name, what) };
    let left = end.duration_since(now);
    let soon = if expiry.certificate.is_some() { ENDS_SOON } else { TOKEN_ENDS_SOON };
    if left.is_negative() {
        Check::failed(name, format!("{what}: it expired {} ago, on {end}", span(left))).advice(LOG_IN)
    } else if left < soon && !renewed {
        Check::warning(name, format!("{what}: it expires in {}, on {end}", span(left))).advice(LOG_IN)
    } else {
        Check::ok(name, format!("{what}, valid for {}", span(left)))
    }
}

/// The server's certificate.
pub(super) fn certificate(validity: Validity, now: Timestamp) -> Check {
    let Validity { until, .. } = validity;
    let left = until.duration_since(now);
    // It was accepted, so it has ended only where it is not checked.
    if left.is_negative() {
        Check::warning(names::CERTIFICATE, format!("it expired {} ago, on {until}", span(left)))
    } else if left < ENDS_SOON {
        Check::warning(names::CERTIFICATE, format!("it expires in {}, on {until}", span(left)))
            .advice("the cluster's administrator has to renew it")
    } else {
        Check::ok(names::CERTIFICATE, format!("valid for {}", span(left)))
    }
}

/// That the server answered.
pub(super) fn http(status: StatusCode) -> Check {
    let said = format!("the server answers ({})", status.as_u16());
    match status {
        // It is the login that fails then.
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Check::ok(names::HTTP, said),
        status if status.is_server_error() => Check::failed(names::HTTP, said)
            .advice("the server, or a proxy in front of it, has trouble; try again"),
        _ => Check::failed(names::HTTP, format!("{said}, which an API server does not"))
            .advice("is this the URL of an API server? `kubectl config view --minify` shows it"),
    }
}

/// The server's version, which it may tell those only whom it knows.
pub(super) fn version(status: StatusCode, version: Option<&ServerVersion>) -> Check {
    match version {
        None if status != StatusCode::OK => Check::new(
            names::VERSION,
            CheckStatus::Skipped,
            "the server tells it to users only that it knows",
        ),
        None => Check::warning(names::VERSION, "the server does not say its version")
            .advice("is this the URL of an API server? `kubectl config view --minify` shows it"),
        Some(ServerVersion { name, minor: Some(minor) }) if *minor < OLDEST => {
            Check::warning(names::VERSION, format!("{name} is older than any version that is known to work"))
        }
        Some(ServerVersion { name, .. }) => Check::ok(names::VERSION, name.clone()),
    }
}

/// This machine's clock beside the server's, which tells whole seconds.
pub(super) fn clock(server: Option<Timestamp>, now: Timestamp) -> Check {
    let Some(server) = server else {
        return Check::new(names::CLOCK, CheckStatus::Skipped, "the server does not tell the time");
    };
    let skew = now.duration_since(server);
    if skew.abs() <= SKEW_TOLERATED {
        return Check::ok(names::CLOCK, "the same time here and at the server");
    }
    let side = if skew.is_negative() { "behind" } else { "ahead of" };
    Check::warning(names::CLOCK, format!("this machine's clock is {} {side} the server's", span(skew)))
        .advice("set the clock: certificates and tokens can look expired, or not valid yet")
}

/// Who the server takes the user for.
pub(super) fn login(user: Option<&str>) -> Check {
    match user {
        Some(user) => Check::ok(names::LOGIN, format!("the server knows the user as {user}")),
        None => Check::ok(names::LOGIN, "the server accepts the user, and does not say who that is"),
    }
}

/// What is known for judging a right.
pub(super) struct RightsContext<'a> {
    pub lookup: PodLookup,
    pub minor: Option<u32>,
    pub user: Option<&'a str>,
    pub namespace: &'a str,
}

/// Each right that was asked about; `None` is a server that does not say.
pub(super) fn rights(asked: &[(Right, Option<bool>)], known: &RightsContext<'_>) -> Vec<Check> {
    let allowed =
        |right: &Right| asked.iter().any(|(other, granted)| other == right && *granted == Some(true));
    let denied: Vec<Denied> = asked
        .iter()
        .filter(|(_, granted)| *granted == Some(false))
        .map(|(right, _)| Denied {
            user: known.user.unwrap_or("USER").to_owned(),
            verb: right.verb.to_owned(),
            resource: right.full_resource(),
            group: right.group.to_owned(),
            namespace: Some(known.namespace.to_owned()),
        })
        .collect();
    let help = Denied::help_for_all(&denied).unwrap_or_default();
    let check = |(right, granted): &(Right, Option<bool>)| {
        let name = format!("may {} {}", right.verb, right.full_resource());
        let place = format!("in namespace {}", known.namespace);
        match granted {
            Some(true) => return Check::ok(name, place),
            None => return Check::warning(name, format!("{place}: the server does not say")),
            Some(false) => {}
        }
        match rights::missing(right, known.lookup, known.minor, allowed) {
            MissingRight::Needed => Check::failed(name, format!("not allowed {place}")).advice(help.as_str()),
            MissingRight::Helpful(otherwise) => {
                Check::warning(name, format!("not allowed {place}: {otherwise}")).advice(help.as_str())
            }
        }
    };
    asked.iter().map(check).collect()
}

/// The pods of a target that can be forwarded to. Where none is ready, it was named or is published all the same.
pub(super) fn ready_pods(pods: &[Endpoint]) -> Check {
    if !pods.iter().any(Endpoint::is_usable) {
        let why = select::why_none(pods, Readiness::Required, |_| None);
        return Check::warning(names::PODS, format!("{why}, and is forwarded to all the same"));
    }
    let ready: Vec<&str> =
        pods.iter().filter(|pod| pod.is_usable()).map(|pod| pod.id.name.as_str()).collect();
    let shown = ready[..ready.len().min(PODS_SHOWN)].join(", ");
    let more = if ready.len() > PODS_SHOWN { ", …" } else { "" };
    Check::ok(names::PODS, format!("{} of {} ready: {shown}{more}", ready.len(), pods.len()))
}

/// What the server is known to speak by its version, where no pod was tried.
pub(super) fn protocols_by_version(minor: Option<u32>) -> Check {
    match minor {
        Some(minor) if minor >= WEBSOCKET_SINCE => Check::ok(
            names::PROTOCOLS,
            "by its version, the WebSocket tunnel and SPDY; name a target to try them",
        ),
        Some(_) => Check::warning(
            names::PROTOCOLS,
            "by its version, SPDY without the WebSocket tunnel; name a target to try it",
        )
        .advice("some proxies let no SPDY through; from version 1.31 on the server has the WebSocket tunnel"),
        None => Check::new(names::PROTOCOLS, CheckStatus::Skipped, "name a target to try them"),
    }
}

/// A protocol that was tried: the time that it took, or why it does not work.
pub(super) type ProtocolTrial = (Protocol, Result<Duration, String>);

/// Which protocols lead into a pod.
pub(super) fn protocols(tried: &[ProtocolTrial], pod: &str) -> Check {
    let works =
        |wanted: Protocol| tried.iter().any(|(protocol, result)| *protocol == wanted && result.is_ok());
    let each = tried.iter().map(|(protocol, result)| match result {
        Ok(time) => format!("{} works ({} ms)", protocol.name(), time.as_millis()),
        Err(why) => format!("{} does not ({why})", protocol.name()),
    });
    let detail = format!("into pod {pod}: {}", each.collect::<Vec<_>>().join("; "));
    if works(Protocol::WebSocketTunnel) {
        Check::ok(names::PROTOCOLS, detail)
    } else if works(Protocol::Spdy) {
        Check::warning(names::PROTOCOLS, detail)
            .advice("SPDY is enough; the WebSocket tunnel takes an API server of 1.31 or newer, and the right to get pods/portforward")
    } else if works(Protocol::LegacyWebSocket) {
        Check::warning(names::PROTOCOLS, detail)
            .advice("each connection takes an upgrade of its own; does a proxy in front of the server let SPDY and WebSockets through?")
    } else {
        Check::failed(names::PROTOCOLS, detail)
            .advice("are the rights on pods/portforward there, and does every proxy in front of the server let WebSockets or SPDY through?")
    }
}

/// How an application has taken a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApplicationAnswer {
    /// It accepted.
    Accepted,
    /// It did not, for this reason.
    Refused(String),
    /// Nothing is known: no answer came in time.
    Silent,
}

/// Whether the application behind a port of a pod accepts. `logs` is the command line that shows what it says.
pub(super) fn application(port: u16, pod: &str, answer: &ApplicationAnswer, logs: &str) -> Check {
    let name = format!("{} port {port}", names::APPLICATION);
    match answer {
        ApplicationAnswer::Accepted => Check::ok(name, format!("pod {pod} accepts connections")),
        ApplicationAnswer::Refused(why) => Check::failed(name, format!("pod {pod}: {why}"))
            .advice(format!("does the application listen on this port? to see what it says, run: {logs}")),
        ApplicationAnswer::Silent => {
            Check::warning(name, format!("pod {pod}: neither accepted nor refused in time")).advice(format!(
                "the node may be busy or out of reach; to see what the application says, run: {logs}"
            ))
        }
    }
}

/// A time as a person says it, without its sign.
fn span(time: SignedDuration) -> String {
    const HOURS_OF_DAYS: i64 = 48;
    match time.as_hours().abs() {
        hours if hours >= HOURS_OF_DAYS => format!("{} days", hours / 24),
        _ => duration_text(time.unsigned_abs()),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
