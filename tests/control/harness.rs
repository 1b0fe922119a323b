//! A cluster, processes that forward, and a client of their sockets.

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use sandbox::client::{Failure, Test, answer, ask, connect, rest, send, within};
use sandbox::forward::{self, Ended, Forward};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// A cluster and the processes of one user.
pub(crate) struct World {
    pub sandbox: Sandbox,
}

impl World {
    pub(crate) async fn new() -> Result<Self, Failure> {
        Ok(Self { sandbox: Sandbox::start(Options::default()).await? })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.sandbox.kubeconfig("admin")
    }

    /// A command of the program, not yet started.
    pub(crate) fn command(&self, line: &str) -> tokio::process::Command {
        let words: Vec<_> = line.split_whitespace().collect();
        forward::command(Path::new(PROGRAM), &self.kubeconfig(), &words)
    }

    /// Starts a process that goes on.
    pub(crate) fn start(&self, line: &str) -> io::Result<Forward> {
        Forward::spawn(self.command(line))
    }

    /// Starts a forward, and gives its local port once it works.
    pub(crate) async fn working(&self, line: &str) -> Result<(Forward, u16), Failure> {
        let mut forward = self.start(line)?;
        let port = forward.port().await?;
        Ok((forward, port))
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, line: &str) -> Result<Ended, Failure> {
        Ok(within(line, self.command(line).output()).await??.try_into()?)
    }

    /// Runs a command that is to succeed, and gives its stdout.
    pub(crate) async fn told(&self, line: &str) -> Result<String, Failure> {
        let ran = self.run(line).await?;
        match ran.code {
            Some(0) => Ok(ran.stdout),
            _ => Err(format!("{line} failed: {ran:?}").into()),
        }
    }

    /// Every forward there is, as `list -o json` tells.
    pub(crate) async fn list(&self) -> Result<Vec<Value>, Failure> {
        Ok(serde_json::from_str(&self.told("list -o json").await?)?)
    }

    /// Waits until the list is as it should be. Each look takes a process: there is no event to wait for.
    pub(crate) async fn listed(
        &self,
        what: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        within(what, async {
            loop {
                let all = self.list().await?;
                if enough(&all) {
                    return Ok(all);
                }
            }
        })
        .await?
    }

    /// The directory of the sockets.
    pub(crate) fn place(&self) -> PathBuf {
        self.sandbox.directory().join("kubectl-fwd")
    }

    /// The sockets in it.
    pub(crate) fn sockets(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.place())? {
            all.push(entry?.path());
        }
        all.sort();
        Ok(all)
    }

    /// The only socket there is.
    pub(crate) fn socket(&self) -> Result<PathBuf, Failure> {
        match self.sockets()?.as_slice() {
            [socket] => Ok(socket.clone()),
            others => Err(format!("not one socket: {others:?}").into()),
        }
    }

    /// A client of the only process.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.socket()?).await
    }

    /// A `serve`, ready for clients, and one of them.
    pub(crate) async fn served(&self) -> Result<(Forward, Client), Failure> {
        let mut serve = self.start("serve")?;
        serve.stdout("Serving on ").await?;
        Ok((serve, self.client().await?))
    }
}

/// One connection to a control socket.
pub(crate) struct Client {
    pub stream: BufReader<UnixStream>,
    last: u64,
    /// Notifications that came while something else was waited for.
    pub events: Vec<Value>,
}

impl Client {
    pub(crate) async fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = within("the control socket", UnixStream::connect(socket)).await??;
        Ok(Self { stream: BufReader::new(stream), last: 0, events: Vec::new() })
    }

    pub(crate) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\n").as_bytes()).await
    }

    /// The next message; none where the connection ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = String::new();
        let read = within("a message", self.stream.read_line(&mut line)).await??;
        Ok(if read == 0 { None } else { Some(serde_json::from_str(&line)?) })
    }

    /// Asks, and gives the answer: the result, or the error.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Result<Value, Value>, Failure> {
        self.last += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params });
        self.say(&request.to_string()).await?;
        loop {
            let mut message = self.next().await?.ok_or("the connection ended")?;
            if message["id"] == self.last {
                assert_eq!(message["jsonrpc"], "2.0");
                return Ok(match message.get_mut("error").map(Value::take) {
                    Some(error) => Err(error),
                    None => Ok(message["result"].take()),
                });
            }
            self.events.push(message);
        }
    }

    /// Asks for something that is to succeed.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.ask(method, params).await?.map_err(|error| format!("{method}: {error}").into())
    }

    /// Starts a forward on any free port; its id and the port.
    pub(crate) async fn forward(
        &mut self,
        kind: &str,
        name: &str,
        remote: Value,
    ) -> Result<(String, u16), Failure> {
        let params = json!({ "resource_type": kind, "name": name, "remote_port": remote });
        let id = self.call("portforward:start", params).await?;
        let id = id.as_str().ok_or("the id is no text")?.to_owned();
        let all = self.call("portforward:list", json!({})).await?;
        let mine = all.as_array().into_iter().flatten().find(|one| one["id"] == id);
        let port = mine.and_then(|one| one["localPort"].as_u64()).ok_or("it is not listed")?;
        Ok((id, u16::try_from(port)?))
    }

    /// Waits for an event.
    pub(crate) async fn event(&mut self, what: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        loop {
            let message = if self.events.is_empty() {
                self.next().await?.ok_or("the connection ended")?
            } else {
                self.events.remove(0)
            };
            if message["method"] == "portforward:event" && what(&message["params"]) {
                return Ok(message["params"].clone());
            }
        }
    }
}

/// Resolves when the port refuses.
pub(crate) async fn refused(port: u16) -> Test {
    within("new connections to be refused", async {
        while connect(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// The process of a forward, by its control socket.
pub(crate) fn pid(socket: &Path) -> Result<u32, Failure> {
    let name = socket.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    Ok(name.split('-').next().unwrap_or_default().parse()?)
}
