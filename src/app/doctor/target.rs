//! The rights, the target and its pods, the protocols that lead into one of them, and the application behind each port.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    judge::{self, ApplicationAnswer, ProtocolTrial, RightsContext},
    names,
    plan::{DoctorPlan, STEP_TIMEOUT, limited},
    record::CheckRecord,
    server::Reached,
};
use crate::{
    cluster::{
        client::Cluster,
        pods::{
            examine::examine,
            namesake::with_namesake,
            target::{self, PodQuery, ResolvedTarget},
            watch::{Relist, Snapshot, follow},
        },
        wait_notifier::WaitNotifier,
    },
    error::Fatal,
    model::{
        check::{Check, CheckStatus},
        endpoint::{Endpoint, PodId},
        ports::{LocalPort, PortSpec, RemotePort},
        target::{Kind, Target, TargetRef},
    },
    policy::{
        retry::{self, AttemptFailure},
        rights::{self, PodLookup},
        select::{self, Coverage},
    },
    spdy::session::PairEnd,
    tunnel::{
        dial::{PodDialer, Tunnel},
        error::DialError,
        protocol::Protocol,
        stream::{Gauge, StreamEvent},
        upgrade::upgrade,
    },
};

/// How long an application's answer is waited for. The runtime lets go a second after our end was closed, whatever the
/// application does; the rest is for a slow node.
const APPLICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an upgrade may take: as long as a connection, within which a server answers that reaches the node.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Ports of one target that are looked at where none is named: those of the usual service, and no more than a person reads.
const PORTS: usize = 8;

/// Looks at what the user may do, and at the target, where one is named.
pub(super) async fn check(
    plan: &DoctorPlan,
    reached: &Reached,
    record: &mut CheckRecord,
    notifier: &WaitNotifier,
) {
    if let Some(failed) = reached.failed {
        record.skip(names::OF_THE_USER, failed);
        if plan.request.is_some() {
            record.skip(names::OF_THE_TARGET, failed);
        }
        return;
    }
    let cluster = &reached.cluster;
    let Some((target, ports)) = &plan.request else {
        let asking = rights(reached, &cluster.namespace, Some(Kind::Service), PodLookup::Labels, record);
        notifier.watch(|| cluster.waiting_for("the rights"), asking).await;
        record.add(judge::protocols_by_version(reached.minor));
        return;
    };
    let doing = format!("find {target}");
    let resolving = Box::pin(limited(&doing, target::resolve(cluster, target)));
    let resolved = notifier.watch(|| cluster.waiting_for(&target.to_string()), resolving).await;
    let namespace = target.namespace.as_deref().unwrap_or(&cluster.namespace);
    let kind = match &target.subject {
        TargetRef::Object(kind, _) => Some(*kind),
        TargetRef::Selector(_) => None,
    };
    let asking = rights(reached, namespace, kind, lookup(kind, resolved.as_ref()), record);
    notifier.watch(|| cluster.waiting_for("the rights"), asking).await;
    match resolved {
        Ok(resolved) => {
            record.add(Check::ok(names::TARGET, described(&resolved)));
            let looking = Box::pin(pods(plan, cluster, target, ports, &resolved, record));
            notifier.watch(|| format!("looking at the pods of {target}"), looking).await;
        }
        Err(fatal) => {
            record.add(judge::target_failed(&fatal));
            record.skip([names::PODS, names::PORT, names::PROTOCOLS, names::APPLICATION], names::TARGET);
        }
    }
}

/// How the pods of a target are found; where that is not known, as they mostly are.
fn lookup(kind: Option<Kind>, resolved: Result<&ResolvedTarget, &Fatal>) -> PodLookup {
    match resolved.map(|resolved| &resolved.pods) {
        Ok(PodQuery::Name(_)) => PodLookup::Name,
        Ok(PodQuery::Slices { .. }) => PodLookup::Slices,
        Err(_) if kind == Some(Kind::Pod) => PodLookup::Name,
        // Those of a service without a selector are read before it counts as found.
        Err(fatal) if fatal.causes().any(|cause| cause.contains(rights::SLICES)) => PodLookup::Slices,
        Ok(PodQuery::Labels(_)) | Err(_) => PodLookup::Labels,
    }
}

fn described(resolved: &ResolvedTarget) -> String {
    let namespace = &resolved.namespace;
    match &resolved.pods {
        PodQuery::Name(name) => format!("pod {name} in namespace {namespace}"),
        PodQuery::Labels(labels) => format!("the pods of namespace {namespace} with the labels {labels}"),
        PodQuery::Slices { service } => {
            format!("the pods that the EndpointSlices of service {service} in namespace {namespace} name")
        }
    }
}

/// Asks for each right whether it is granted.
async fn rights(
    reached: &Reached,
    namespace: &str,
    kind: Option<Kind>,
    lookup: PodLookup,
    record: &mut CheckRecord,
) {
    let wanted = rights::rights(kind, lookup);
    let answers = join_all(wanted.iter().map(|right| reached.cluster.may(right, namespace))).await;
    let mut asked = Vec::new();
    for (right, answer) in wanted.into_iter().zip(answers) {
        match answer {
            Ok(granted) => asked.push((right, granted)),
            Err(fatal) => return record.add(judge::failed(names::RIGHTS, &fatal)),
        }
    }
    let user = reached.user.as_deref();
    let known = RightsContext { lookup, minor: reached.minor, user, namespace };
    for check in judge::rights(&asked, &known) {
        record.add(check);
    }
}

/// Looks at the pods, and at one of them.
async fn pods(
    plan: &DoctorPlan,
    cluster: &Arc<Cluster>,
    target: &Target,
    ports: &[PortSpec],
    resolved: &ResolvedTarget,
    record: &mut CheckRecord,
) {
    let rest = [names::PORT, names::PROTOCOLS, names::APPLICATION];
    let found = match read_pods(cluster, resolved).await {
        Ok(found) => found,
        Err(fatal) => {
            record.add(judge::failed(names::PODS, &fatal));
            return record.skip(rest, names::PODS);
        }
    };
    let any = |_: &Endpoint| Coverage { wanted: 1, target: 1 };
    if select::choose(&found, None, resolved.readiness(), any).is_some() {
        record.add(judge::ready_pods(&found));
    } else {
        record.add(none_ready(cluster, target, ports, resolved, &found).await);
    }
    // One that merely runs tells as much of the way into it.
    let Some(pod) = select::choose(&found, None, resolved.readiness().relaxed(), any) else {
        return record.skip(rest, names::PODS);
    };
    let numbers = pod_ports(ports, resolved, pod, record);
    let probe = numbers.first().copied().unwrap_or(1);
    let tried = try_protocols(cluster, &pod.id, probe).await;
    let check = judge::protocols(&tried, &pod.id.name);
    let failed = check.status == CheckStatus::Failed;
    record.add(check);
    if failed {
        record.skip([names::APPLICATION], names::PROTOCOLS);
    } else if numbers.is_empty() {
        let no_port = "not checked: no port of the pod is known";
        record.add(Check::new(names::APPLICATION, CheckStatus::Skipped, no_port));
    } else {
        applications(plan, cluster, &pod.id, &numbers, record).await;
    }
}

/// The pods as the forward would see them.
async fn read_pods(cluster: &Cluster, resolved: &ResolvedTarget) -> Result<Arc<Vec<Endpoint>>, Fatal> {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let mut pods = follow(cluster, resolved, &TaskTracker::new(), stop, Relist::default(), |_| {});
    let known = |set: &Snapshot| set.synced || set.problem.is_some();
    let doing = format!("read the pods of namespace {}", resolved.namespace);
    let reading = async {
        let set = pods.wait_for(known).await;
        set.map(|set| Snapshot::clone(&set))
            .map_err(|_| Fatal::new("fwd::internal", format!("cannot {doing}")))
    };
    let Snapshot { pods, problem, .. } = limited(&doing, reading).await?;
    match problem {
        None => Ok(pods),
        Some(why) => Err(Fatal::new("fwd::pod::none_ready", format!("cannot {doing}"))
            .because(why)
            .help(format!("to check, run: {}", cluster.kubectl(&resolved.namespace, "get pods")))),
    }
}

/// Why no pod can be forwarded to.
async fn none_ready(
    cluster: &Cluster,
    target: &Target,
    ports: &[PortSpec],
    resolved: &ResolvedTarget,
    pods: &[Endpoint],
) -> Check {
    let doing = format!("look at the pods of {target}");
    if let Err(fatal) = limited(&doing, examine(cluster, resolved)).await {
        return judge::failed(names::PODS, &with_namesake(fatal, cluster, target, ports).await);
    }
    let why = select::why_none(pods, resolved.readiness(), |_| None);
    let namespace = &resolved.namespace;
    Check::failed(names::PODS, why).advice(match select::closest(pods) {
        Some(pod) => {
            let describe = cluster.kubectl(namespace, &format!("describe pod {}", pod.id.name));
            format!("to see why, run: {describe}")
        }
        None => format!(
            "are there replicas, and is it the right namespace? to see the pods, run: {}",
            cluster.kubectl(namespace, "get pods --show-labels")
        ),
    })
}

/// Tells where each port leads, and gives the pod's numbers. Without any named those that are declared are meant.
fn pod_ports(
    ports: &[PortSpec],
    resolved: &ResolvedTarget,
    pod: &Endpoint,
    record: &mut CheckRecord,
) -> Vec<u16> {
    let spec = |remote| PortSpec { address: None, local: LocalPort::Any, remote };
    let declared = || resolved.declared_ports(pod).into_iter().take(PORTS).map(spec).collect();
    let wanted: Vec<PortSpec> = if ports.is_empty() { declared() } else { ports.to_vec() };
    if wanted.is_empty() {
        record.add(Check::new(names::PORT, CheckStatus::Skipped, "none is named, and the pod declares none"));
    }
    let mut numbers = Vec::new();
    for spec in wanted {
        let name = format!("{} {}", names::PORT, spec.remote);
        if let Err(fatal) = resolved.check(std::slice::from_ref(&spec)) {
            record.add(judge::failed(name, &fatal));
            continue;
        }
        record.add(match resolved.pod_port(&spec.remote, pod) {
            Ok(number) => {
                numbers.push(number);
                let same = spec.remote == RemotePort::Number(number);
                let whose = format!("pod {}", pod.id.name);
                Check::ok(
                    name,
                    if same { format!("of {whose}") } else { format!("port {number} of {whose}") },
                )
            }
            Err(why) => {
                Check::failed(name, why).advice("any TCP port of a pod can be forwarded by its number")
            }
        });
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Tries the two protocols that are used, and the last resort where neither works.
async fn try_protocols(cluster: &Cluster, pod: &PodId, port: u16) -> Vec<ProtocolTrial> {
    let attempt = |protocol| async move {
        let begun = Instant::now();
        let result = match timeout(UPGRADE_TIMEOUT, upgrade(&cluster.data, pod, protocol, port)).await {
            Ok(Ok(_)) => Ok(begun.elapsed()),
            Ok(Err(error)) => Err(DialError::from(error)),
            Err(_) => Err(DialError::late(UPGRADE_TIMEOUT)),
        };
        (protocol, result)
    };
    let mut tried = join_all([Protocol::WebSocketTunnel, Protocol::Spdy].map(attempt)).await;
    // Where nobody answers, the last resort is not answered either.
    if tried.iter().all(|(_, result)| result.as_ref().is_err_and(|error| error.refusal.is_some())) {
        tried.push(attempt(Protocol::LegacyWebSocket).await);
    }
    let worded = |result: Result<_, DialError>| result.map_err(|error| error.why.to_string());
    tried.into_iter().map(|(protocol, result)| (protocol, worded(result))).collect()
}

/// Opens a connection to each port through a tunnel, sends nothing and closes it.
async fn applications(
    plan: &DoctorPlan,
    cluster: &Arc<Cluster>,
    pod: &PodId,
    ports: &[u16],
    record: &mut CheckRecord,
) {
    let dialer = PodDialer::new(Arc::clone(cluster), TaskTracker::new(), plan.common.credit, Arc::default());
    let probe = ports.first().copied().unwrap_or(1);
    let dialled = timeout(STEP_TIMEOUT, dialer.dial(pod, probe)).await;
    let tunnel = match dialled.unwrap_or_else(|_| Err(DialError::late(STEP_TIMEOUT))) {
        Ok(tunnel) => tunnel,
        Err(error) => {
            let detail = format!("pod {} cannot be reached again: {}", pod.name, error.why);
            return record.add(Check::failed(names::APPLICATION, detail).advice("try again"));
        }
    };
    let answers = join_all(ports.iter().map(|port| answer(&tunnel, *port))).await;
    let logs = cluster.kubectl(&pod.namespace, &format!("logs {}", pod.name));
    for (port, answer) in ports.iter().zip(answers) {
        record.add(judge::application(*port, &pod.name, &answer, &logs));
    }
}

/// What becomes of a connection on which nothing is sent. Our end is closed at once: the runtime then lets go within a second
/// whatever the application does, and tells whether the connection was refused.
async fn answer(tunnel: &Tunnel, port: u16) -> ApplicationAnswer {
    let refused = |failure| ApplicationAnswer::Refused(retry::explain(&failure, port));
    let asking = async {
        let mut stream = match tunnel.open(port, &Gauge::default()).await {
            Ok(stream) => stream,
            Err(error) => return ApplicationAnswer::Refused(error.why.to_string()),
        };
        stream.send.finish();
        loop {
            match stream.recv.recv().await {
                StreamEvent::Data(_) | StreamEvent::Ended(PairEnd::Clean) => {
                    return ApplicationAnswer::Accepted;
                }
                StreamEvent::DataEnd => {}
                StreamEvent::Ended(PairEnd::Failed(text)) => return refused(AttemptFailure::Text(text)),
                StreamEvent::Ended(PairEnd::Rejected) => return refused(AttemptFailure::Rejected),
                StreamEvent::Ended(PairEnd::Reset) => return refused(AttemptFailure::Cut),
                StreamEvent::Lost => return refused(AttemptFailure::NotOpened),
            }
        }
    };
    timeout(APPLICATION_TIMEOUT, asking).await.unwrap_or(ApplicationAnswer::Silent)
}
