//! What came of one run, in words that are the same for each lane and each run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use sandbox::support::forward::Ended;

/// What kubectl says of an address that it listens on.
pub(crate) const FORWARDING: &str = "Forwarding from ";

/// What both programs' help has.
const HELP: &str = "Usage:";

/// Ports from here on that no row names were chosen by the system or the program; the pods' own are lower.
const LOWEST_CHOSEN: u16 = 27600;

/// What a program did.
#[derive(Clone)]
pub(crate) struct Outcome {
    /// The exit status; `None` for one that a signal ended.
    code: Option<i32>,
    /// Its lines on stdout.
    stdout: Vec<String>,
    /// What it listened on.
    listens: BTreeSet<String>,
    /// Not compared, but for whether there is any.
    stderr: String,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        let all = |one: &Self| (one.code, one.stdout.clone(), one.listens.clone(), one.stderr.is_empty());
        all(self) == all(other)
    }
}

impl Outcome {
    /// From the end of a process, and from what it listened on before. A port is named as the row names it, and one that the
    /// system chose `any`, the second one `any2`.
    pub(crate) fn new(
        ended: &Ended,
        listens: &[SocketAddr],
        ports: &BTreeMap<u16, u16>,
        directory: &str,
    ) -> Self {
        let mut chosen: Vec<u16> = Vec::new();
        let mut name = |port: u16, rows: bool| {
            if let Some((row, _)) = ports.iter().find(|(_, lane)| **lane == port) {
                return row.to_string();
            }
            if rows {
                return port.to_string();
            }
            let at = chosen.iter().position(|one| *one == port).unwrap_or_else(|| {
                chosen.push(port);
                chosen.len() - 1
            });
            if at == 0 { "any".to_owned() } else { format!("any{}", at + 1) }
        };
        let mut stdout = Vec::new();
        for line in ended.stdout.lines() {
            let parts = line.strip_prefix(FORWARDING).and_then(|rest| {
                let (local, remote) = rest.split_once(" -> ")?;
                let (ip, port) = local.rsplit_once(':')?;
                Some((ip, port.parse().ok()?, remote.parse().ok()?))
            });
            stdout.push(match parts {
                Some((ip, local, remote)) => {
                    let local = name(local, local < LOWEST_CHOSEN);
                    format!("{FORWARDING}{ip}:{local} -> {}", name(remote, true))
                }
                None => line.replace(directory, "$DIR"),
            });
        }
        if ended.stdout.contains(HELP) {
            stdout = vec!["its help".to_owned()];
        }
        let listens = listens.iter();
        let listens = listens.map(|at| match at {
            SocketAddr::V4(at) => format!("{}:{}", at.ip(), name(at.port(), at.port() < LOWEST_CHOSEN)),
            SocketAddr::V6(at) => format!("[{}]:{}", at.ip(), name(at.port(), at.port() < LOWEST_CHOSEN)),
        });
        Self { code: ended.code, stdout, listens: listens.collect(), stderr: ended.stderr.clone() }
    }

    /// How many lines it said.
    pub(crate) fn lines(&self) -> usize {
        self.stdout.len()
    }

    /// What it listened on without saying so, and what it said and did not do.
    pub(crate) fn unannounced(&self) -> Vec<String> {
        let said = self.stdout.iter().filter_map(|line| line.strip_prefix(FORWARDING)?.split_once(" -> "));
        let tcp = said.map(|(local, _)| local).filter(|local| !local.starts_with("unix:"));
        let said: BTreeSet<String> = tcp.map(str::to_owned).collect();
        said.symmetric_difference(&self.listens).cloned().collect()
    }

    /// Everything, for a person who looks for what is wrong.
    pub(crate) fn full(&self) -> String {
        let stderr: Vec<&str> = self.stderr.lines().take(3).collect();
        format!("{self}; listens on {:?}; stderr {stderr:?}", self.listens)
    }
}

/// For the document: what is forwarded, or what else was said, and the exit status where it is no success.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> =
            self.stdout.iter().map(|line| line.strip_prefix(FORWARDING).unwrap_or(line)).collect();
        let end = match self.code {
            Some(0) if lines.is_empty() => "exit status 0".to_owned(),
            Some(0) if !self.stderr.is_empty() => "and a note on stderr".to_owned(),
            Some(0) => String::new(),
            Some(code) => format!("exit status {code}"),
            None => "ended by the signal".to_owned(),
        };
        let mut parts = lines;
        if !end.is_empty() {
            parts.push(&end);
        }
        f.write_str(&parts.join(", "))
    }
}
