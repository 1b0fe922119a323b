//! The process under test, as its system and its control socket show it.

use sandbox::support::{ControlClient, Failure};
use serde_json::{Value, json};

/// What it holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    /// KiB.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Sessions to pods, as the node counts them.
    pub(crate) sessions: u64,
    /// Connections of clients.
    pub(crate) connections: u64,
    /// Forwards, and those of them that are active.
    pub(crate) forwards: u64,
    pub(crate) active: u64,
}

impl Held {
    /// Asks for all of it. Where there is no `/proc`, what it would say is 0.
    pub(crate) async fn by(pid: u32, control: &mut ControlClient, sessions: usize) -> Result<Self, Failure> {
        let list = control.call("portforward:list", json!({})).await?;
        let list = list.as_array().ok_or("the list is none")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let open = |forward: &Value| forward["connections"]["open"].as_u64().unwrap_or_default();
        Ok(Self {
            resident: number("VmRSS:"),
            threads: number("Threads:"),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |all| all.count() as u64),
            sessions: sessions as u64,
            connections: list.iter().map(open).sum(),
            forwards: list.len() as u64,
            active: list.iter().filter(|forward| forward["active"] == true).count() as u64,
        })
    }
}
