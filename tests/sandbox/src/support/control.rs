//! A client of control sockets.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::client::{Failure, within};

/// One connection to a control socket.
pub struct ControlClient {
    /// To read from and write to without a request.
    pub stream: BufReader<UnixStream>,
    last: u64,
    /// Notifications that came while something else was waited for.
    pub events: Vec<Value>,
}

impl ControlClient {
    /// Connects to a socket.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = within("the control socket", UnixStream::connect(socket)).await??;
        Ok(Self { stream: BufReader::new(stream), last: 0, events: Vec::new() })
    }

    /// Sends a line.
    pub async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\n").as_bytes()).await
    }

    /// The next message; none where the connection ended.
    pub async fn next(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = String::new();
        let read = within("a message", self.stream.read_line(&mut line)).await??;
        Ok(if read == 0 { None } else { Some(serde_json::from_str(&line)?) })
    }

    /// Asks, and gives the answer: the result, or the error.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<Result<Value, Value>, Failure> {
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
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.ask(method, params).await?.map_err(|error| format!("{method}: {error}").into())
    }

    /// Starts a forward on any free port; its id and the port.
    pub async fn forward(&mut self, kind: &str, name: &str, remote: Value) -> Result<(String, u16), Failure> {
        let params = json!({ "resource_type": kind, "name": name, "remote_port": remote });
        let id = self.call("portforward:start", params).await?;
        let id = id.as_str().ok_or("the id is no text")?.to_owned();
        let all = self.call("portforward:list", json!({})).await?;
        let mine = all.as_array().into_iter().flatten().find(|one| one["id"] == id);
        let port = mine.and_then(|one| one["localPort"].as_u64()).ok_or("it is not listed")?;
        Ok((id, u16::try_from(port)?))
    }

    /// Waits for an event.
    pub async fn event(&mut self, what: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
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

/// The process of a forward, by its control socket.
pub fn pid(socket: &Path) -> Result<u32, Failure> {
    let name = socket.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    Ok(name.split('-').next().unwrap_or_default().parse()?)
}
