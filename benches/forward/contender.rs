//! Who is measured: kubectl, `kubectl-fwd`, kube's own way, a relay that encrypts, and one that does no more than copy.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{cluster::Cluster, outcome::Failure};

/// What all of them say of a local end that works.
pub(super) const WORKS: &str = "Forwarding from 127.0.0.1:";

/// How long that may take.
const START_WITHIN: Duration = Duration::from_secs(20);

/// What a forwarder is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kubectl,
    /// What is built with the benchmark.
    Ours,
    /// Another build of it.
    Before,
    /// kube's own way, a WebSocket for each connection.
    Legacy,
    /// Encrypts, and copies.
    TlsRelay,
    Relay,
}

/// A forwarder, not started.
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) kind: Kind,
    program: PathBuf,
    arguments: Vec<OsString>,
    kubeconfig: PathBuf,
    ends: usize,
}

/// One at work. Dropping it kills it.
pub(super) struct Running {
    child: Child,
    /// The local port of the HTTP application.
    pub(super) http: u16,
    /// The local port of the application that never reads.
    pub(super) stalled: u16,
    pub(super) started: Instant,
    /// From the start until it said that it works.
    pub(super) ready: Duration,
}

/// kubectl, `kubectl-fwd`, an older one if wanted, and where the applications are known kube's way and the relays.
pub(super) fn all(
    cluster: &Cluster,
    kubectl: Option<&Path>,
    before: Option<&Path>,
) -> io::Result<Vec<Contender>> {
    let ports: Vec<u16> =
        [cluster.ports.http, cluster.ports.stalled].into_iter().filter(|port| *port != 0).collect();
    let forwarder = |kind: Kind, name: &str, program: &Path, arguments: Vec<OsString>| Contender {
        name: name.to_owned(),
        kind,
        program: program.to_owned(),
        arguments,
        kubeconfig: cluster.kubeconfig.clone(),
        ends: ports.len(),
    };
    let forwarded = |words: &[&str]| -> Vec<OsString> {
        let words = words.iter().map(OsString::from);
        let flags = ["--address", "127.0.0.1", &cluster.target].map(OsString::from);
        words.chain(flags).chain(ports.iter().map(|port| format!(":{port}").into())).collect()
    };
    let kubectl = self::kubectl(kubectl)?;
    let name = format!("kubectl {}", version(&kubectl)?);
    let ours = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let mut all = vec![
        forwarder(Kind::Kubectl, &name, &kubectl, forwarded(&["port-forward"])),
        forwarder(Kind::Ours, "kubectl-fwd", ours, forwarded(&[])),
    ];
    all.extend(before.map(|before| forwarder(Kind::Before, "kubectl-fwd before", before, forwarded(&[]))));
    let this = std::env::current_exe()?;
    if let Some(pod) = &cluster.pod {
        let port = |port: &u16| [OsString::from("--legacy"), format!("{pod}:{port}").into()];
        let arguments = ports.iter().flat_map(port).collect();
        all.push(forwarder(Kind::Legacy, "kube's legacy way", &this, arguments));
    }
    if let Some(tls) = &cluster.tls {
        let address = |address: &SocketAddr| [OsString::from("--tls-relay"), address.to_string().into()];
        let mut arguments: Vec<OsString> = tls.addresses.iter().flat_map(address).collect();
        arguments.extend([OsString::from("--certificate"), OsString::from(&tls.certificate)]);
        all.push(forwarder(Kind::TlsRelay, "TLS relay", &this, arguments));
    }
    if !cluster.addresses.is_empty() {
        let address = |address: &SocketAddr| [OsString::from("--relay"), address.to_string().into()];
        let arguments = cluster.addresses.iter().flat_map(address).collect();
        all.push(forwarder(Kind::Relay, "plain relay", &this, arguments));
    }
    Ok(all)
}

/// The kubectl that was named, or one that is there.
pub(super) fn kubectl(named: Option<&Path>) -> io::Result<PathBuf> {
    let found = named.map(Path::to_owned).or_else(newest_kubectl);
    found.ok_or_else(|| io::Error::other("no kubectl in PATH; name one with --kubectl"))
}

/// The newest of the `kubectl.1.NN` beside that of PATH, else that.
fn newest_kubectl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file())?;
    let found = found.canonicalize().ok()?;
    let minor = |file: &PathBuf| file.file_name()?.to_str()?.strip_prefix("kubectl.1.")?.parse::<u32>().ok();
    let files = std::fs::read_dir(found.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = files.filter(|file| minor(file).is_some()).max_by_key(minor);
    Some(newest.unwrap_or(found))
}

fn version(kubectl: &Path) -> io::Result<String> {
    let said = Command::new(kubectl).args(["version", "--client"]).output()?.stdout;
    let said = String::from_utf8_lossy(&said);
    let version = said.lines().find_map(|line| line.strip_prefix("Client Version: v"));
    Ok(version.unwrap_or("of unknown version").to_owned())
}

impl Contender {
    /// Starts it and waits until all its local ends work.
    pub(super) fn start(&self) -> Result<Running, Failure> {
        let started = Instant::now();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (sender, ports) = mpsc::channel::<u16>();
        if let Some(stdout) = child.stdout.take() {
            // To its end: kubectl says a line for every connection.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let port = line.strip_prefix(WORKS).and_then(|rest| rest.split(' ').next()?.parse().ok());
                    if let Some(port) = port {
                        let _ = sender.send(port);
                    }
                }
            });
        }
        let mut running = Running { child, http: 0, stalled: 0, started, ready: Duration::ZERO };
        for end in [&mut running.http, &mut running.stalled].into_iter().take(self.ends) {
            let left = START_WITHIN.saturating_sub(started.elapsed());
            *end = ports.recv_timeout(left).map_err(|error| match error {
                mpsc::RecvTimeoutError::Timeout => Failure::TimesOut,
                mpsc::RecvTimeoutError::Disconnected => Failure::Ends,
            })?;
        }
        running.ready = started.elapsed();
        Ok(running)
    }
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
