//! A cluster and six free ports for one row at a time.
//!
//! A row names the ports 8001 to 8006, which are free, and 8007, which is taken. For each lane they stand for other ones, so that
//! lanes do not meet; what a program says of them is translated back.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use listeners::{Protocol, SocketState};
use sandbox::support::forward::{self, Forward};
use sandbox::support::{Failure, Test};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::outcome::{FORWARDING, Outcome};
use crate::rows::{Row, Step};

/// The ports of the rows.
pub(crate) const PORTS: std::ops::RangeInclusive<u16> = 8001..=8007;

/// Of these, the one that somebody else listens on.
const TAKEN: u16 = 8007;

/// Where the ports that they stand for begin: below those that any system gives out by itself.
const FIRST: u16 = 27600;

/// How far apart two lanes look for theirs.
const APART: u16 = 30;

/// One of the two that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Kubectl,
    Fwd,
}

/// A cluster, its ports, and the programs.
pub(crate) struct Lane {
    sandbox: Sandbox,
    kubectl: PathBuf,
    /// From a row's port to the one it stands for.
    ports: BTreeMap<u16, u16>,
    /// Who has the port that is taken.
    _holder: Vec<TcpListener>,
}

impl Lane {
    pub(crate) async fn start(number: u16, kubectl: PathBuf) -> Result<Self, Failure> {
        let (ports, holder) = free_ports(FIRST + number * APART)?;
        let sandbox = Sandbox::start(Options { objects: objects(&ports), ..Options::default() }).await?;
        for phase in ["Succeeded", "Failed"] {
            let pod = phase.to_lowercase();
            sandbox.patch("pod", "default", &pod, &json!({ "status": { "phase": phase } }))?;
        }
        let lane = Self { sandbox, kubectl, ports, _holder: holder };
        lane.write_files()?;
        Ok(lane)
    }

    /// What kubectl makes of a row, and what the program does.
    pub(crate) async fn both(&self, row: &Row) -> Result<(Outcome, Outcome), String> {
        let (kubectl, fwd) = row.lines;
        let kubectl =
            self.run(Program::Kubectl, row, kubectl).await.map_err(|why| format!("kubectl: {why}"))?;
        let fwd = self.run(Program::Fwd, row, fwd).await.map_err(|why| format!("kubectl fwd: {why}"))?;
        Ok((kubectl, fwd))
    }

    /// Starts a program, looks at what it listens on once it has said so many lines, ends it as the row wants, and waits.
    async fn run(&self, program: Program, row: &Row, lines: usize) -> Result<Outcome, Failure> {
        let mut forward = Forward::spawn(self.command(program, row))?;
        let mut said = 0;
        while said < lines && forward.stdout("").await.is_ok() {
            said += 1;
        }
        let mut listens = Vec::new();
        // One that is to end by itself and does not is looked at as well, for the report.
        let goes_on = if lines == 0 { forward.stdout(FORWARDING).await.is_ok() } else { said == lines };
        if goes_on {
            let pid = forward.pid().ok_or("it ended")?;
            listens = listens_on(pid).await?;
            forward.signal(row.signal()).await?;
        }
        let ended = forward.wait().await.map_err(|failure| format!("{failure:?}"))?;
        Ok(Outcome::new(&ended, &listens, &self.ports, &self.sandbox.directory().to_string_lossy()))
    }

    fn command(&self, program: Program, row: &Row) -> tokio::process::Command {
        let (kubectl, own) = match program {
            Program::Kubectl => (true, "port-forward"),
            Program::Fwd => (row.through_kubectl(), "fwd"),
        };
        let mut words: Vec<String> = Vec::new();
        let mut environment = Vec::new();
        if kubectl && !row.through_kubectl() {
            words.push(own.to_owned());
        }
        for step in row.steps() {
            match step {
                Step::Environment(name, value) => environment.push((name, self.meant(value))),
                Step::Command => words.push(own.to_owned()),
                Step::Word(word) => words.push(self.meant(word)),
            }
        }
        let built = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
        let path = if kubectl { &*self.kubectl } else { forward::program(env!("CARGO_BIN_EXE_kubectl-fwd")) };
        let mut command = forward::command(path, &self.sandbox.kubeconfig("admin"), &words);
        let plugins = built.parent().map(Path::to_owned);
        let found = env::var_os("PATH").unwrap_or_default();
        let found = env::join_paths(plugins.into_iter().chain(env::split_paths(&found)));
        command
            .current_dir(self.sandbox.directory())
            .env("PATH", found.unwrap_or_else(|_| OsString::new()))
            .env("HOME", self.sandbox.directory().join("home"))
            .env("KUBECACHEDIR", self.sandbox.directory().join("cache"));
        for (name, value) in environment {
            command.env(name, value);
        }
        command
    }

    /// A word of a row, with what its names stand for.
    fn meant(&self, word: &str) -> String {
        if word == "''" {
            return String::new();
        }
        let mut word = word.to_owned();
        for (row, port) in &self.ports {
            word = word.replace(&row.to_string(), &port.to_string());
        }
        word.replace("$DIR", &self.sandbox.directory().to_string_lossy())
            .replace("$URL", &self.sandbox.url())
            .replace("$ADDRESS", &self.sandbox.address().to_string())
    }

    /// Files that rows name: kubeconfigs, certificates, a home.
    fn write_files(&self) -> Test {
        let directory = self.sandbox.directory();
        let admin = fs::read_to_string(self.sandbox.kubeconfig("admin"))?;
        let certificate = fs::read_to_string(self.sandbox.kubeconfig("cert-admin"))?;
        let mut config: Value = serde_json::from_str(&admin)?;
        config["clusters"]
            .as_array_mut()
            .ok_or("no clusters")?
            .push(json!({ "name": "nowhere", "cluster": { "server": "https://127.0.0.1:1" } }));
        config["users"].as_array_mut().ok_or("no users")?.extend([
            json!({ "name": "dev", "user": { "token": "token-of-dev" } }),
            json!({ "name": "nobody", "user": { "token": "wrong" } }),
        ]);
        let context = |name: &str, cluster: &str, user: &str, namespace: &str| {
            let context = json!({ "cluster": cluster, "user": user, "namespace": namespace });
            json!({ "name": name, "context": context })
        };
        config["contexts"] = json!([
            context("prod", "sandbox", "admin", "prod"),
            context("default", "sandbox", "admin", ""),
            context("nowhere", "nowhere", "admin", "default"),
            context("nobody", "sandbox", "nobody", "default"),
            context("no-user", "sandbox", "missing", "default"),
            context("no-cluster", "missing", "admin", "default"),
        ]);
        config["current-context"] = json!("prod");
        fs::write(directory.join("several"), config.to_string())?;
        config["current-context"] = json!("");
        fs::write(directory.join("no-current"), config.to_string())?;
        config["contexts"] = json!([]);
        fs::write(directory.join("no-contexts"), config.to_string())?;
        fs::write(directory.join("empty"), "")?;
        fs::write(directory.join("broken"), "{ not yaml")?;
        fs::create_dir_all(directory.join("home/.kube"))?;
        fs::write(directory.join("home/.kube/config"), admin)?;
        fs::create_dir_all(directory.join("homeless"))?;
        fs::write(directory.join("ca.pem"), self.sandbox.ca_pem())?;
        let client: Value = serde_json::from_str(&certificate)?;
        for (file, field) in [("client.pem", "client-certificate-data"), ("client.key", "client-key-data")] {
            let text = client["users"][0]["user"][field].as_str().ok_or("no certificate")?;
            fs::write(directory.join(file), STANDARD.decode(text)?)?;
        }
        Ok(())
    }
}

/// Ports for one lane, from `first` on, and a listener on the one that is to be taken.
fn free_ports(first: u16) -> Result<(BTreeMap<u16, u16>, Vec<TcpListener>), Failure> {
    let both = |port: u16| -> std::io::Result<Vec<TcpListener>> {
        ["0.0.0.0", "::1"].into_iter().map(|ip| TcpListener::bind((ip, port))).collect()
    };
    let mut free = (first..first + APART).filter(|port| both(*port).is_ok());
    let ports: BTreeMap<u16, u16> = PORTS.zip(&mut free).collect();
    let taken = *ports.get(&TAKEN).ok_or_else(|| format!("too few ports are free from {first} on"))?;
    Ok((ports, both(taken)?))
}

/// Every address on which a process accepts TCP connections.
async fn listens_on(pid: u32) -> Result<Vec<std::net::SocketAddr>, Failure> {
    let all =
        tokio::task::spawn_blocking(|| listeners::get_all().map_err(|error| error.to_string())).await??;
    let own = all.into_iter().filter(|one| one.process.pid == pid);
    let own = own.filter(|one| one.protocol == Protocol::TCP && one.state == SocketState::Listen);
    Ok(own.map(|one| one.socket).collect())
}

/// What the rows speak of, beside the sandbox's own objects.
fn objects(ports: &BTreeMap<u16, u16>) -> Vec<Value> {
    let pod = |name: &str, ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
            "spec": { "containers": [{ "name": "app", "image": "any", "ports": ports }] },
        })
    };
    let service = |name: &str, app: &str, ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "selector": { "app": app }, "ports": ports },
        })
    };
    let http = || json!([{ "name": "http", "containerPort": 8080 }]);
    let plain = || json!([{ "port": ports[&8003], "targetPort": 8080 }]);
    let mut headless = service("headless", "shop", plain());
    headless["spec"]["clusterIP"] = json!("None");
    vec![
        pod(
            "shop",
            json!([
                { "name": "http", "containerPort": 8080 }, { "name": "here", "containerPort": ports[&8005] },
                { "name": "udp", "containerPort": ports[&8006], "protocol": "UDP" },
                { "name": "both", "containerPort": ports[&8004], "protocol": "UDP" },
                { "name": "both-tcp", "containerPort": ports[&8004] },
            ]),
        ),
        pod("succeeded", http()),
        pod("failed", http()),
        service(
            "shop",
            "shop",
            json!([
                { "name": "web", "port": ports[&8003], "targetPort": 8080 },
                { "name": "there", "port": ports[&8004], "targetPort": "http" },
                { "name": "udp", "port": ports[&8006], "protocol": "UDP" },
                { "name": "dns", "port": ports[&8005], "targetPort": 53, "protocol": "UDP" },
                { "name": "dns-tcp", "port": ports[&8005], "targetPort": 9000 },
            ]),
        ),
        service("plain", "shop", plain()),
        service(
            "names",
            "shop",
            json!([
                { "name": "dns", "port": ports[&8003], "targetPort": 8080, "protocol": "UDP" },
                { "name": "dns-tcp", "port": ports[&8003], "targetPort": 8080 },
            ]),
        ),
        service("none", "none", plain()),
        service("succeeded", "succeeded", plain()),
        service("lost", "shop", json!([{ "port": ports[&8003], "targetPort": "lost" }])),
        headless,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "zero" },
            "spec": {
                "replicas": 0, "selector": { "matchLabels": { "app": "zero" } },
                "template": {
                    "metadata": { "labels": { "app": "zero" } },
                    "spec": { "containers": [{ "name": "app", "image": "any", "ports": http() }] },
                },
            },
        }),
    ]
}
