//! All that a process knows of its forwards, in lines for a report of a bug (`SIGUSR1`).

use std::{iter, time::Duration};

use super::{escape, wording::duration_text};
use crate::{
    cluster::pods::target::PodQuery,
    forward::{
        dump::{ClusterDump, ForwardDump, RegistryDump, WatchDump},
        open_connections::{ConnectionDump, WaitsFor},
    },
    model::{endpoint::PodId, forward::PortForward},
    policy::placement::Load,
    tunnel::dump::{PingDump, SessionDump, TunnelDump},
};

/// Lines of one report: a process with many forwards fills a log with no more, and they find room in the queue of what is
/// to be written.
const MAX_LINES: usize = 500;

/// What the process is, as far as the system tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its number.
    pub pid: u32,
    /// Since it began to forward.
    pub uptime: Duration,
    /// Resident memory in KiB.
    pub memory: Option<u64>,
    /// Files that it has open.
    pub open_files: Option<usize>,
    /// Files that it may have open.
    pub file_limit: Option<u64>,
    /// Tasks of the runtime.
    pub tasks: usize,
}

/// The report. Names and texts from the cluster are harmless to a terminal in it.
pub fn lines(dump: &RegistryDump, process: &ProcessFacts) -> Vec<String> {
    let more = dump.count - dump.forwards.len();
    let more = (more > 0).then(|| many(more, "more forward"));
    let all = iter::once(head(dump, process))
        .chain(dump.forwards.iter().flat_map(forward))
        .chain(more)
        .chain(dump.clusters.iter().flat_map(cluster));
    let mut lines: Vec<_> = all.take(MAX_LINES + 1).map(|line| escape::line(&line).into_owned()).collect();
    let is_cut = lines.len() > MAX_LINES;
    lines.truncate(MAX_LINES);
    lines
        .push(if is_cut { "end of the report, which was cut short" } else { "end of the report" }.to_owned());
    lines
}

fn head(dump: &RegistryDump, process: &ProcessFacts) -> String {
    let ProcessFacts { pid, uptime, memory, open_files, file_limit, tasks } = process;
    let memory = memory.map(|size| format!(", {size} KiB of memory")).unwrap_or_default();
    let open = open_files.map(|open| format!(", {open} open files")).unwrap_or_default();
    let limit = file_limit.map(|limit| format!(" (limit {limit})")).unwrap_or_default();
    format!(
        "kubectl fwd {} ({} {}), process {pid}, up {}: {}, {}{memory}{open}{limit}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        duration_text(*uptime),
        many(dump.count, "forward"),
        many(*tasks, "task")
    )
}

fn forward(ForwardDump { forward, connections }: &ForwardDump) -> Vec<String> {
    let PortForward { id, target, remote_port, state, pod, pod_port, bytes, restarts, .. } = forward;
    let counts = forward.connections;
    let local = match (&forward.local, forward.local_port) {
        (Some(local), _) => local.clone(),
        (None, Some(port)) => format!("{} {port}", forward.address),
        (None, None) => forward.address.clone(),
    };
    let pod = match (pod, pod_port) {
        (Some(pod), Some(port)) => format!("pod {pod} port {port}"),
        (Some(pod), None) => format!("pod {pod}"),
        (None, _) => "no pod yet".to_owned(),
    };
    let error = forward.last_error.as_ref().map(|why| format!("; last error: {why}")).unwrap_or_default();
    let mut lines = vec![format!(
        "forward {id}: {local} -> {target} {remote_port}, {} since {}, {pod}, moved {restarts} times; connections: {} open, {} \
         held, {} blocked, {} in all, {} failed, {} retried; {} bytes to the pod, {} bytes from it{error}",
        state.word(),
        forward.since,
        counts.open,
        counts.held,
        counts.blocked,
        counts.total,
        counts.failed,
        counts.retried,
        bytes.outbound,
        bytes.inbound,
    )];
    lines.extend(connections.iter().map(connection));
    let more = (counts.open as usize).saturating_sub(connections.len());
    lines.extend((more > 0).then(|| format!("  {}, younger than these", many(more, "more connection"))));
    lines
}

fn connection(ConnectionDump { age, sent, received, waits }: &ConnectionDump) -> String {
    let waits = match waits {
        WaitsFor::Pod => "a pod",
        WaitsFor::Session => "a session to the pod",
        WaitsFor::Answer => "an answer",
        WaitsFor::Room => "the pod to take what the client sends",
        WaitsFor::Client => "the client to take what came",
        WaitsFor::End => "the end: the client sends no more",
        WaitsFor::Anything => "either side",
    };
    format!(
        "  connection, {} old: {sent} bytes sent, {received} bytes received, waits for {waits}",
        duration_text(*age)
    )
}

fn cluster(ClusterDump { context, watches, tunnels }: &ClusterDump) -> Vec<String> {
    let context =
        context.as_ref().map_or_else(|| "without a context".to_owned(), |name| format!("context {name}"));
    iter::once(format!(
        "cluster, {context}: {} followed, {} reached",
        many(watches.len(), "set of pods"),
        many(tunnels.len(), "pod")
    ))
    .chain(watches.iter().map(watch))
    .chain(tunnels.iter().flat_map(tunnel))
    .collect()
}

fn watch(WatchDump { namespace, pods, synced, known, ready, problem }: &WatchDump) -> String {
    let which = match pods {
        PodQuery::Name(name) => format!("pod {name}"),
        PodQuery::Labels(labels) => format!("pods with {labels}"),
        PodQuery::Slices { service } => format!("endpoints of service {service}"),
    };
    let state = match (problem, synced) {
        (Some(why), _) => format!("cannot be read: {why}"),
        (None, true) => "followed".to_owned(),
        (None, false) => "not read yet".to_owned(),
    };
    format!("  {which} in namespace {namespace}: {}, {ready} ready, {state}", many(*known, "pod"))
}

fn tunnel((pod, tunnel): &(PodId, TunnelDump)) -> Vec<String> {
    let PodId { namespace, name, .. } = pod;
    match tunnel {
        TunnelDump::Legacy => vec![format!("  pod {namespace}/{name}: an upgrade for each connection")],
        TunnelDump::Sessions { sessions, count, dials, waiting } => {
            let head = format!(
                "  pod {namespace}/{name}: {}, {dials} more being made, {} waiting for one",
                many(*count, "session"),
                many(*waiting, "connection")
            );
            let more = count - sessions.len();
            let more = (more > 0).then(|| format!("    {}", many(more, "more session")));
            iter::once(head).chain(sessions.iter().map(session)).chain(more).collect()
        }
    }
}

fn session(session: &SessionDump) -> String {
    let SessionDump { age, load, streams, owed, silent, rested, pinged: PingDump { held, queued } } = session;
    let load = match load {
        Load::Idle => "idle",
        Load::Resting => "at rest",
        Load::Active => "at work",
        Load::Bulk => "in a transfer",
        Load::Stalled => "stopped by a client that does not read",
        Load::Silent => "without an answer to pings",
    };
    let held: Vec<_> = held.iter().map(ToString::to_string).collect();
    format!(
        "    session, {} old, {load}: {}, {owed} with something due, last byte came {} ago, last moved {} \
         ago; at the last ping {} frames in the queues at the pod, {queued} bytes to be written",
        duration_text(*age),
        many(*streams, "stream"),
        duration_text(*silent),
        duration_text(*rested),
        held.join("+"),
    )
}

/// So many of something: `1 pod`, `2 pods`, `2 sets of pods`.
fn many(count: usize, what: &str) -> String {
    let (noun, rest) =
        what.split_once(" of ").map_or((what, String::new()), |(noun, of)| (noun, format!(" of {of}")));
    format!("{count} {noun}{}{rest}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    fn dump(forwards: usize, connections: usize) -> RegistryDump {
        let forward = PortForward {
            target: "svc/api".into(),
            last_error: Some("\u{1b}[2J\n".into()),
            ..PortForward::example("service", "api", RemotePort::Number(80))
        };
        let one =
            ConnectionDump { age: Duration::from_secs(12), sent: 80, received: 0, waits: WaitsFor::Answer };
        let forward = ForwardDump { forward, connections: vec![one; connections] };
        let session = SessionDump {
            age: Duration::from_secs(60),
            load: Load::Active,
            streams: 1,
            owed: 1,
            silent: Duration::from_secs(3),
            rested: Duration::from_secs(4),
            pinged: PingDump { held: [0, 1, 2, 3, 4], queued: 7 },
        };
        let tunnel = TunnelDump::Sessions { sessions: vec![session], count: 3, dials: 1, waiting: 2 };
        let watch = WatchDump {
            namespace: "default".into(),
            pods: PodQuery::Labels("app=api".into()),
            synced: true,
            known: 2,
            ready: 1,
            problem: None,
        };
        let pod = PodId { namespace: "default".into(), name: "api-1".into(), uid: "1".into() };
        let cluster =
            ClusterDump { context: Some("prod".into()), watches: vec![watch], tunnels: vec![(pod, tunnel)] };
        RegistryDump { forwards: vec![forward; forwards], count: forwards + 1, clusters: vec![cluster] }
    }

    #[test]
    fn what_it_says() {
        let facts = ProcessFacts {
            pid: 7,
            uptime: Duration::from_secs(200),
            memory: Some(12_000),
            open_files: Some(30),
            file_limit: Some(1024),
            tasks: 9,
        };
        let lines = lines(&dump(1, 1), &facts);
        assert!(
            lines[0].contains(
                ", process 7, up 3 min: 2 forwards, 9 tasks, 12000 KiB of memory, 30 open files (limit 1024)"
            ),
            "{lines:#?}"
        );
        assert!(
            lines[1].starts_with("forward aaaaaa: localhost 8080 -> svc/api 80, active since "),
            "{lines:#?}"
        );
        assert!(lines[1].chars().all(escape::is_harmless), "{lines:#?}");
        let rest = [
            "  connection, 12 s old: 80 bytes sent, 0 bytes received, waits for an answer",
            "1 more forward",
            "cluster, context prod: 1 set of pods followed, 1 pod reached",
            "  pods with app=api in namespace default: 2 pods, 1 ready, followed",
            "  pod default/api-1: 3 sessions, 1 more being made, 2 connections waiting for one",
            "    session, 60 s old, at work: 1 stream, 1 with something due, last byte came 3 s ago, last moved 4 s \
             ago; at the last ping 0+1+2+3+4 frames in the queues at the pod, 7 bytes to be written",
            "    2 more sessions",
            "end of the report",
        ];
        assert_eq!(lines[2..], rest);
    }

    #[test]
    fn it_has_an_end() {
        let lines = lines(&dump(64, 20), &ProcessFacts::default());
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines.last().map(String::as_str), Some("end of the report, which was cut short"));
    }
}
