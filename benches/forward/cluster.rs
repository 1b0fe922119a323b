//! What is forwarded to: the sandbox in a process of its own, or a real cluster.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use sandbox::{Options, Sandbox};

use super::outcome::Outcome;

/// What each end of the sandbox's answers begins with.
const KUBECONFIG: &str = "KUBECONFIG=";
const ADDRESS: &str = "ADDRESS=";
const DONE: &str = "DONE";

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
    sandbox: Option<Process>,
}

impl Cluster {
    pub(super) fn real(kubeconfig: &Path, target: &str, ports: Ports) -> Self {
        let (kubeconfig, target) = (kubeconfig.to_owned(), target.to_owned());
        Self { kubeconfig, target, ports, addresses: Vec::new(), sandbox: None }
    }

    pub(super) fn sandbox() -> io::Result<Self> {
        let mut process = Process::start()?;
        let (mut kubeconfig, mut addresses) = (PathBuf::new(), Vec::new());
        for line in process.answer()? {
            if let Some(path) = line.strip_prefix(KUBECONFIG) {
                kubeconfig = path.into();
            } else if let Some(address) = line.strip_prefix(ADDRESS) {
                addresses.push(address.parse().map_err(io::Error::other)?);
            }
        }
        let target = "deployment/api".to_owned();
        Ok(Self { kubeconfig, target, ports: SANDBOX, addresses, sandbox: Some(process) })
    }

    /// The sandbox's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.sandbox.as_ref().map(|process| process.child.id())
    }

    /// Whether it is the sandbox, whose every object is there to be measured with.
    pub(super) fn is_sandbox(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Has connections that are made from now on take this long to and fro.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) -> io::Result<()> {
        if let Some(process) = &mut self.sandbox {
            writeln!(process.stdin, "{}", (round_trip / 2).as_millis())?;
            process.answer()?;
        }
        Ok(())
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

/// Is the sandbox: says where it is, then takes one latency in milliseconds a line of stdin until that ends.
pub(super) fn serve() -> Outcome {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(Options::default()))?;
    println!("{KUBECONFIG}{}", sandbox.kubeconfig("admin").display());
    let pod = sandbox
        .node()
        .pods()
        .into_iter()
        .find(|pod| pod.namespace == "default" && pod.name.starts_with("api-"));
    for port in [SANDBOX.http, SANDBOX.stalled] {
        let address = pod.as_ref().and_then(|pod| sandbox.node().address(&pod.uid, port));
        println!("{ADDRESS}{}", address.ok_or("the sandbox has no pod of api")?);
    }
    println!("{DONE}");
    for line in io::stdin().lines() {
        sandbox.faults().latency(Duration::from_millis(line?.parse()?));
        println!("{DONE}");
    }
    runtime.block_on(sandbox.stop());
    Ok(())
}
