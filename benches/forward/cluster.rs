//! What is forwarded to: the sandbox in a process of its own, or a real cluster.

use std::{
    cell::RefCell,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use sandbox::{Options, Sandbox};

use super::{outcome::Outcome, tls_ends::TlsEnds};

/// What the lines of the sandbox's answers begin with, and how each answer ends.
const KUBECONFIG: &str = "KUBECONFIG=";
const POD: &str = "POD=";
const ADDRESS: &str = "ADDRESS=";
const TLS: &str = "TLS=";
const CERTIFICATE: &str = "CERTIFICATE=";
const SESSIONS: &str = "SESSIONS=";
const DONE: &str = "DONE";

/// What it can be asked for: `latency MS` each way on connections made from now on; an answer as soon as no session is
/// left that will end; the most sessions at once since that answer.
const LATENCY: &str = "latency";
const QUIET: &str = "quiet";
const MOST_SESSIONS: &str = "most-sessions";

/// How long the sessions of a forwarder that was killed may take to end; the kernel has ended their connections at once.
const QUIET_WITHIN: Duration = Duration::from_secs(5);

/// Where the sandbox's pods are.
pub(super) const NAMESPACE: &str = "default";

/// The ports of the sandbox's pods.
const SANDBOX: Ports = Ports { http: 8080, stalled: 9004 };

/// The ports that are forwarded.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) http: u16,
    /// Of an application that never reads; 0 where there is none.
    pub(super) stalled: u16,
}

/// A cluster to forward to.
pub(super) struct Cluster {
    pub(super) kubeconfig: PathBuf,
    pub(super) target: String,
    pub(super) ports: Ports,
    /// Where the applications really listen, where that is known.
    pub(super) addresses: Vec<SocketAddr>,
    /// TLS in front of them.
    pub(super) tls: Option<TlsEnds>,
    /// The pod that they are of.
    pub(super) pod: Option<String>,
    sandbox: Option<RefCell<Process>>,
}

impl Cluster {
    pub(super) fn real(kubeconfig: &Path, target: &str, ports: Ports) -> Self {
        let (kubeconfig, target) = (kubeconfig.to_owned(), target.to_owned());
        Self { kubeconfig, target, ports, addresses: Vec::new(), tls: None, pod: None, sandbox: None }
    }

    pub(super) fn sandbox() -> io::Result<Self> {
        let mut process = Process::start()?;
        let (mut kubeconfig, mut pod, mut addresses) = (PathBuf::new(), None, Vec::new());
        let mut tls = TlsEnds { addresses: Vec::new(), certificate: String::new() };
        for line in process.answer()? {
            if let Some(path) = line.strip_prefix(KUBECONFIG) {
                kubeconfig = path.into();
            } else if let Some(name) = line.strip_prefix(POD) {
                pod = Some(name.to_owned());
            } else if let Some(address) = line.strip_prefix(ADDRESS) {
                addresses.push(address.parse().map_err(io::Error::other)?);
            } else if let Some(address) = line.strip_prefix(TLS) {
                tls.addresses.push(address.parse().map_err(io::Error::other)?);
            } else if let Some(certificate) = line.strip_prefix(CERTIFICATE) {
                certificate.clone_into(&mut tls.certificate);
            }
        }
        let target = "deployment/api".to_owned();
        Ok(Self {
            kubeconfig,
            target,
            ports: SANDBOX,
            addresses,
            tls: Some(tls),
            pod,
            sandbox: Some(process.into()),
        })
    }

    /// The sandbox's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.sandbox.as_ref().map(|process| process.borrow().child.id())
    }

    /// Whether it is the sandbox, whose every object is there to be measured with.
    pub(super) fn is_sandbox(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Has connections that are made from now on take this long to and fro.
    pub(super) fn set_round_trip(&self, round_trip: Duration) -> io::Result<()> {
        self.ask(&format!("{LATENCY} {}", (round_trip / 2).as_millis()))?;
        Ok(())
    }

    /// Waits until no session of an earlier forwarder is left.
    pub(super) fn wait_until_quiet(&self) -> io::Result<()> {
        self.ask(QUIET)?;
        Ok(())
    }

    /// The most sessions that there were at once since it was quiet, where that is known.
    pub(super) fn most_sessions(&self) -> io::Result<Option<usize>> {
        let lines = self.ask(MOST_SESSIONS)?;
        let sessions = lines.iter().find_map(|line| line.strip_prefix(SESSIONS));
        sessions.map(|sessions| sessions.parse().map_err(io::Error::other)).transpose()
    }

    /// Asks the sandbox; a real cluster says nothing.
    fn ask(&self, what: &str) -> io::Result<Vec<String>> {
        let Some(process) = &self.sandbox else { return Ok(Vec::new()) };
        let mut process = process.borrow_mut();
        writeln!(process.stdin, "{what}")?;
        process.answer()
    }
}

/// The process of the sandbox. It ends with its stdin, so with us, however we end.
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the sandbox has no streams"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout).lines() })
    }

    /// What it says up to the next `DONE`.
    fn answer(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for line in &mut self.stdout {
            match line? {
                line if line == DONE => return Ok(lines),
                line => lines.push(line),
            }
        }
        Err(io::Error::other("the sandbox ended"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the sandbox: says where it is, then does what each line of stdin asks for until that ends.
pub(super) fn serve() -> Outcome {
    // Five hundred connections take two of each at the application and as many to the clients.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(Options::default()))?;
    println!("{KUBECONFIG}{}", sandbox.kubeconfig("admin").display());
    let mut pods = sandbox.node().pods().into_iter();
    let pod = pods.find(|pod| pod.namespace == NAMESPACE && pod.name.starts_with("api-"));
    let pod = pod.ok_or("the sandbox has no pod of api")?;
    println!("{POD}{}", pod.name);
    let addresses = [SANDBOX.http, SANDBOX.stalled].map(|port| sandbox.node().address(&pod.uid, port));
    let addresses: Option<Vec<SocketAddr>> = addresses.into_iter().collect();
    let addresses = addresses.ok_or("the pod of api does not listen")?;
    let tls = runtime.block_on(TlsEnds::start(&addresses))?;
    for address in &addresses {
        println!("{ADDRESS}{address}");
    }
    for address in &tls.addresses {
        println!("{TLS}{address}");
    }
    println!("{CERTIFICATE}{}", tls.certificate);
    println!("{DONE}");
    let mut stuck = 0;
    for line in io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            (LATENCY, ms) => sandbox.faults().latency(Duration::from_millis(ms.parse()?)),
            (QUIET, _) => stuck = runtime.block_on(quiet(&sandbox, stuck)),
            (MOST_SESSIONS, _) => {
                println!("{SESSIONS}{}", sandbox.node().most_sessions().saturating_sub(stuck));
            }
            _ => return Err(format!("the sandbox cannot be asked for {line:?}").into()),
        }
        println!("{DONE}");
    }
    runtime.block_on(sandbox.stop());
    Ok(())
}

/// Waits until no session is left but those that were stuck before, and returns how many are stuck now: one whose
/// application never reads does not notice that its client is gone.
async fn quiet(sandbox: &Sandbox, stuck: usize) -> usize {
    let ended = sandbox.node().sessions_are(|open| open <= stuck);
    let _ = tokio::time::timeout(QUIET_WITHIN, ended).await;
    sandbox.node().count_most_sessions_anew();
    sandbox.node().open_sessions()
}
