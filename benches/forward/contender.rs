//! Who is measured: kubectl, `kubectl-fwd`, and a relay that does no more than copy.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::net::{TcpListener, TcpStream};

use super::{
    cluster::Cluster,
    outcome::{Failure, Outcome},
};

/// What all of them say of a local end that works.
const WORKS: &str = "Forwarding from 127.0.0.1:";

/// How long that may take.
const START_WITHIN: Duration = Duration::from_secs(20);

/// What the relay reads at once.
const RELAY_BUFFER: usize = 64 * 1024;

/// A forwarder, not started.
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) is_ours: bool,
    pub(super) is_kubectl: bool,
    pub(super) is_relay: bool,
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

/// kubectl, `kubectl-fwd`, an older one if wanted, and the relay where it can get at the applications.
pub(super) fn all(
    cluster: &Cluster,
    kubectl: Option<&Path>,
    before: Option<&Path>,
) -> io::Result<Vec<Contender>> {
    let ports = [cluster.ports.http, cluster.ports.stalled].into_iter().filter(|port| *port != 0);
    let ports: Vec<OsString> = ports.map(|port| format!(":{port}").into()).collect();
    let forwarder = |name: String, program: PathBuf, arguments: &[&str]| Contender {
        name,
        is_ours: false,
        is_kubectl: false,
        is_relay: false,
        program,
        arguments: arguments.iter().map(OsString::from).chain(ports.iter().cloned()).collect(),
        kubeconfig: cluster.kubeconfig.clone(),
        ends: ports.len(),
    };
    let kubectl = self::kubectl(kubectl)?;
    let name = format!("kubectl {}", version(&kubectl)?);
    let target = cluster.target.as_str();
    let kubectl = forwarder(name, kubectl, &["port-forward", "--address", "127.0.0.1", target]);
    let fwd = |name: &str, program: &Path| {
        forwarder(name.to_owned(), program.to_owned(), &["--address", "127.0.0.1", target])
    };
    let ours = fwd("kubectl-fwd", Path::new(env!("CARGO_BIN_EXE_kubectl-fwd")));
    let mut all = vec![Contender { is_kubectl: true, ..kubectl }, Contender { is_ours: true, ..ours }];
    all.extend(before.map(|before| fwd("kubectl-fwd before", before)));
    if !cluster.addresses.is_empty() {
        let relay = forwarder("plain relay".to_owned(), std::env::current_exe()?, &[]);
        let address = |address: &SocketAddr| [OsString::from("--relay"), address.to_string().into()];
        let arguments = cluster.addresses.iter().flat_map(address).collect();
        all.push(Contender { is_relay: true, arguments, ..relay });
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

/// Is the relay: a local port for each address, bytes copied both ways.
pub(super) fn relay(addresses: &[SocketAddr]) -> Outcome {
    tokio::runtime::Runtime::new()?.block_on(async {
        for &address in addresses {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            println!("{WORKS}{} -> {}", listener.local_addr()?.port(), address.port());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(copy(client, address));
                }
            });
        }
        std::future::pending().await
    })
}

async fn copy(mut client: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut application = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    application.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut application, RELAY_BUFFER, RELAY_BUFFER)
        .await?;
    Ok(())
}
