//! The way to the server, what it says of itself, and who it takes the user for.

use std::sync::Arc;

use jiff::Timestamp;

use super::{config::Connected, judge, names, record::CheckRecord};
use crate::{
    cluster::{
        client::Cluster,
        probe::{ConnectStage, ConnectionProbe},
        wait_notifier::WaitNotifier,
    },
    model::check::{Check, CheckStatus},
};

/// A server that answers.
pub(super) struct Reached {
    pub cluster: Arc<Cluster>,
    /// The minor version of Kubernetes 1, where it says so.
    pub minor: Option<u32>,
    /// The name by which it knows the user, where it says so.
    pub user: Option<String>,
    /// The check that keeps it from being asked anything more.
    pub failed: Option<&'static str>,
}

/// Goes there step by step. What cannot be asked any more is told by what comes next.
pub(super) async fn check(
    connected: Connected,
    record: &mut CheckRecord,
    notifier: &WaitNotifier,
) -> Reached {
    let Connected { cluster, has_credentials } = connected;
    let cluster = Arc::new(cluster);
    let unreached =
        |failed| Reached { cluster: Arc::clone(&cluster), minor: None, user: None, failed: Some(failed) };
    if let Err(failed) =
        connection(notifier.watch(|| connecting(&cluster), cluster.probe_connection()).await, record)
    {
        record.skip(names::AT_THE_SERVER, failed);
        return unreached(failed);
    }
    let asking = cluster.probe_version();
    let answer = match notifier.watch(|| cluster.waiting_for("its version"), asking).await {
        Ok(answer) => answer,
        Err(fatal) => {
            record.add_timed(judge::failed(names::HTTP, &fatal));
            record.skip([names::VERSION, names::CLOCK, names::LOGIN], names::HTTP);
            return unreached(names::HTTP);
        }
    };
    let http = judge::http(answer.status);
    let failed = http.status == CheckStatus::Failed;
    record.add_timed(http);
    if failed {
        record.skip([names::VERSION, names::CLOCK, names::LOGIN], names::HTTP);
        return unreached(names::HTTP);
    }
    record.add(judge::version(answer.status, answer.version.as_ref()));
    record.add(judge::clock(answer.date, Timestamp::now()));
    if !has_credentials {
        record.skip([names::LOGIN], names::CREDENTIALS);
        return unreached(names::CREDENTIALS);
    }
    let asking = cluster.who_am_i();
    match notifier.watch(|| cluster.waiting_for("who the user is"), asking).await {
        Ok(user) => {
            record.add_timed(judge::login(user.as_deref()));
            let minor = answer.version.and_then(|version| version.minor);
            Reached { cluster: Arc::clone(&cluster), minor, user, failed: None }
        }
        Err(fatal) => {
            record.add_timed(judge::failed(names::LOGIN, &fatal));
            unreached(names::LOGIN)
        }
    }
}

fn connecting(cluster: &Cluster) -> String {
    format!("connecting to {}", cluster.server)
}

/// Tells each step of a connection; the check that failed, where one did.
fn connection(probe: ConnectionProbe, record: &mut CheckRecord) -> Result<(), &'static str> {
    let ConnectionProbe { steps, peer, tls, failure } = probe;
    let last = steps.len().saturating_sub(1);
    for (at, (stage, took)) in steps.iter().enumerate() {
        let name = name(*stage);
        let check = match &failure {
            Some(fatal) if at == last => judge::failed(name, fatal),
            _ => Check::ok(
                name,
                detail(*stage, peer.as_deref(), tls.as_ref().map(|(version, _)| version.as_str())),
            ),
        };
        record.add(check.took(*took));
    }
    let failed = steps.last().map_or(names::TCP, |(stage, _)| name(*stage));
    if failure.is_some() {
        // Through a proxy the server's own steps are not taken, but for its TLS.
        let later = match failed {
            names::DNS => &[names::TCP, names::TLS][..],
            names::TLS => &[],
            _ => &[names::TLS],
        };
        record.skip(later.iter().copied(), failed);
        return Err(failed);
    }
    if let Some((_, Some(validity))) = tls {
        record.add(judge::certificate(validity, Timestamp::now()));
    }
    Ok(())
}

fn name(stage: ConnectStage) -> &'static str {
    match stage {
        ConnectStage::FindProxy => names::PROXY_DNS,
        ConnectStage::ReachProxy => names::PROXY_TCP,
        ConnectStage::ProxyTls => names::PROXY_TLS,
        ConnectStage::Proxy => names::PROXY_CONNECT,
        ConnectStage::Find => names::DNS,
        ConnectStage::Connect => names::TCP,
        ConnectStage::Tls => names::TLS,
    }
}

fn detail(stage: ConnectStage, peer: Option<&str>, version: Option<&str>) -> String {
    match (stage, peer) {
        (ConnectStage::Find, _) => "the server's name leads to an address".to_owned(),
        (ConnectStage::FindProxy, _) => "the proxy's name leads to an address".to_owned(),
        (ConnectStage::Connect | ConnectStage::ReachProxy, Some(peer)) => format!("connected to {peer}"),
        (ConnectStage::Connect | ConnectStage::ReachProxy, None) => "connected".to_owned(),
        (ConnectStage::ProxyTls, _) => "with the proxy".to_owned(),
        (ConnectStage::Proxy, _) => "the proxy leads to the server".to_owned(),
        (ConnectStage::Tls, _) => {
            format!("{}, and the server's certificate is accepted", version.unwrap_or("TLS"))
        }
    }
}
