//! A workspace on a cluster for one scenario: a namespace, what is applied there, and its removal.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Once};

use sandbox::support::forward::{self, Forward};
use sandbox::support::kubectl;
use sandbox::support::within;
pub(crate) use sandbox::support::{Failure, Test};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The image of the pods where none is named; the sandbox pulls none.
const IMAGE: &str = "podserver:e2e";

/// What marks everything that these tests make, with the scenario's name as its value.
const LABEL: &str = "fwd-e2e";

/// How long a rollout may take, image pulls included.
const ROLLOUT: &str = "--timeout=120s";

/// Where one scenario happens.
pub(crate) struct Workspace {
    cluster: TestCluster,
    namespace: String,
    /// For files of this scenario alone.
    scratch: PathBuf,
    /// The name of every object that it makes.
    pub(crate) name: String,
}

/// A cluster to run scenarios on, and what to do it with.
#[derive(Clone)]
pub(crate) struct TestCluster {
    pub(crate) kubectl: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Of the pods.
    pub(crate) image: String,
}

/// Runs a scenario on a sandbox of its own.
pub(crate) async fn on_the_sandbox<F: Future<Output = Test> + Send + 'static>(
    name: &str,
    scenario: fn(Arc<Workspace>) -> F,
) -> Test {
    let Some(kubectl) = kubectl::all().pop() else { return Ok(()) };
    let sandbox = Sandbox::start(Options::default()).await?;
    let cluster = TestCluster { kubectl, kubeconfig: sandbox.kubeconfig("admin"), image: IMAGE.to_owned() };
    let outcome = cluster.run(name, None, scenario).await;
    sandbox.stop().await;
    outcome
}

/// Runs a scenario on the cluster that the environment names, if it names one.
pub(crate) async fn on_a_cluster<F: Future<Output = Test> + Send + 'static>(
    name: &str,
    scenario: fn(Arc<Workspace>) -> F,
) -> Test {
    static SAID: Once = Once::new();
    let Some(kubeconfig) = env::var_os("FWD_E2E_KUBECONFIG") else {
        // Not with `eprintln`: what a passing test prints so is swallowed.
        SAID.call_once(|| {
            let _ =
                io::stderr().write_all(b"SKIPPED: on_a_cluster::*, FWD_E2E_KUBECONFIG names no cluster\n");
        });
        return Ok(());
    };
    let kubectl = kubectl::all().pop().ok_or("a cluster is named, but there is no kubectl")?;
    let image = env::var("FWD_E2E_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
    let cluster = TestCluster { kubectl, kubeconfig: kubeconfig.into(), image };
    cluster.run(name, env::var("FWD_E2E_NAMESPACE").ok(), scenario).await
}

impl TestCluster {
    /// Runs a scenario, and removes what it made: its own namespace, or what it made in the one that is given, which
    /// other scenarios may be using.
    pub(crate) async fn run<F: Future<Output = Test> + Send + 'static>(
        self,
        name: &str,
        namespace: Option<String>,
        scenario: fn(Arc<Workspace>) -> F,
    ) -> Test {
        const KINDS: &str = "deployments,statefulsets,services,rolebindings,roles,serviceaccounts";
        let own = namespace.is_none();
        let workspace = Arc::new(Workspace::new(self, name, namespace)?);
        if own {
            workspace.make_namespace().await?;
        }
        // In a task of its own, so that a panic waits for what follows.
        let outcome = tokio::spawn(scenario(workspace.clone())).await;
        let remove = if own {
            format!("delete namespace {}", workspace.namespace)
        } else {
            format!("delete {KINDS} -l {LABEL}={}", workspace.name)
        };
        let removed = workspace.kubectl(&format!("{remove} --wait=false")).await;
        let _ = fs::remove_dir_all(&workspace.scratch);
        match outcome {
            Ok(outcome) => outcome.and(removed.map(drop)),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

impl Workspace {
    fn new(cluster: TestCluster, scenario: &str, namespace: Option<String>) -> io::Result<Self> {
        let name = scenario.replace('_', "-");
        // Unlike any other: two runs may share a cluster.
        let unique = format!("{LABEL}-{name}-{:08x}", fastrand::u32(..));
        let scratch = env::temp_dir().join(&unique);
        fs::create_dir(&scratch)?;
        let namespace = namespace.unwrap_or(unique);
        Ok(Self { cluster, namespace, scratch, name })
    }

    async fn make_namespace(&self) -> Test {
        self.kubectl(&format!("create namespace {}", self.namespace)).await?;
        self.kubectl(&format!("label namespace {} {LABEL}={}", self.namespace, self.name)).await?;
        Ok(())
    }

    fn command(&self, program: &Path, kubeconfig: &Path, args: &[&str]) -> Command {
        let mut command = forward::command(program, kubeconfig, args);
        // Nothing is left beside a kubeconfig that is somebody's own.
        for variable in ["XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP", "XDG_CONFIG_HOME", "APPDATA"] {
            command.env(variable, &self.scratch);
        }
        // kubectl finds the built program as its plugin, and keeps what it learns of the API to this scenario.
        let plugins = program_path().parent().map(Path::to_owned);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(plugins.into_iter().chain(env::split_paths(&path)));
        command.env("PATH", path.unwrap_or_default()).env("KUBECACHEDIR", self.scratch.join("cache"));
        command
    }

    /// Runs kubectl in the scenario's namespace, and returns what it prints.
    pub(crate) async fn kubectl(&self, line: &str) -> Result<String, Failure> {
        self.kubectl_reading(line, b"").await
    }

    async fn kubectl_reading(&self, line: &str, input: &[u8]) -> Result<String, Failure> {
        let args: Vec<&str> = ["-n", &self.namespace].into_iter().chain(line.split_whitespace()).collect();
        let mut command = self.command(&self.cluster.kubectl, &self.cluster.kubeconfig, &args);
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            return Err(format!("kubectl {line}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Applies one of the files in `manifests`.
    pub(crate) async fn apply(&self, manifest: &str) -> Test {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/manifests").join(manifest);
        let text = fs::read_to_string(path)?
            .replace("$NAMESPACE", &self.namespace)
            .replace("$NAME", &self.name)
            .replace("$IMAGE", &self.cluster.image);
        self.kubectl_reading("apply -f -", text.as_bytes()).await?;
        Ok(())
    }

    /// Waits until a workload is as it is wanted.
    pub(crate) async fn rolled_out(&self, workload: &str) -> Test {
        self.kubectl(&format!("rollout status {workload} {ROLLOUT}")).await?;
        Ok(())
    }

    /// A deployment of two pods and a service, both of the scenario's name, ready.
    pub(crate) async fn app(&self) -> Test {
        self.apply("app.yaml").await?;
        self.rolled_out(&format!("deployment/{}", self.name)).await
    }

    /// The names of the scenario's pods.
    pub(crate) async fn pods(&self) -> Result<Vec<String>, Failure> {
        let names = self.kubectl(&format!("get pods -l {LABEL}={} -o name", self.name)).await?;
        Ok(names.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect())
    }

    /// One of the scenario's pods.
    pub(crate) async fn pod(&self) -> Result<String, Failure> {
        Ok(self.pods().await?.into_iter().next().ok_or("there is no pod")?)
    }

    /// Waits until a pod has logged these lines, in this order.
    pub(crate) async fn logged(&self, pod: &str, lines: &[String]) -> Test {
        let logged = async {
            loop {
                let log = self.kubectl(&format!("logs {pod}")).await?;
                let mut said = log.lines();
                if lines.iter().all(|line| said.any(|one| one == line)) {
                    return Ok(());
                }
            }
        };
        within(&format!("{pod} to log {lines:?}"), logged).await?
    }

    /// Starts a process of kubectl that goes on.
    pub(crate) fn kubectl_running(&self, line: &str) -> io::Result<Forward> {
        let args: Vec<&str> = line.split_whitespace().collect();
        Forward::spawn(self.command(&self.cluster.kubectl, &self.cluster.kubeconfig, &args))
    }

    /// The path of a pod in the API.
    pub(crate) fn path_of(&self, pod: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace)
    }

    /// Starts a forward, NAME in its words being the scenario's name.
    pub(crate) fn fwd(&self, line: &str) -> io::Result<Forward> {
        self.fwd_as(&self.cluster.kubeconfig, line)
    }

    /// Starts a forward as the user of another kubeconfig.
    pub(crate) fn fwd_as(&self, kubeconfig: &Path, line: &str) -> io::Result<Forward> {
        self.start(program_path(), kubeconfig, "", line)
    }

    /// Starts a forward through kubectl.
    pub(crate) fn kubectl_fwd(&self, line: &str) -> io::Result<Forward> {
        self.start(&self.cluster.kubectl, &self.cluster.kubeconfig, "fwd ", line)
    }

    fn start(&self, program: &Path, kubeconfig: &Path, before: &str, line: &str) -> io::Result<Forward> {
        let line = format!("{before}-n {} {}", self.namespace, line.replace("NAME", &self.name));
        let args: Vec<&str> = line.split(' ').collect();
        Forward::spawn(self.command(program, kubeconfig, &args))
    }

    /// A kubeconfig for the same cluster with a service account's token and nothing else of the user's.
    pub(crate) async fn kubeconfig_of(&self, account: &str) -> Result<PathBuf, Failure> {
        let token = self.kubectl(&format!("create token {account}")).await?;
        let config = self.kubectl("config view --raw --minify --flatten -o json").await?;
        let mut config: Value = serde_json::from_str(&config)?;
        config["users"][0]["user"] = json!({ "token": token });
        let path = self.scratch.join(format!("{account}.kubeconfig"));
        fs::write(&path, config.to_string())?;
        Ok(path)
    }
}

fn program_path() -> &'static Path {
    Path::new(OsStr::new(env!("CARGO_BIN_EXE_kubectl-fwd")))
}
