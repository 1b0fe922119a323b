//! One forward: one port of a target, from its local address to whichever pod serves it. Its identity, its state, and all
//! that is known about it at one moment, in the shape that other programs read (DESIGN §4).

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ports::RemotePort;

/// Characters of an id. Some 700 million ids: of a thousand forwards on one machine two share an id once in 1400 tries.
const LENGTH: usize = 6;
/// No letter or digit that could be taken for another: `0` and `o`, `1`, `i` and `l`.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
const LETTERS_AND_DIGITS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// A forward's identity, the same over all its re-targets, and in practice unique over all processes: a few characters
/// that a person can type. It begins with a letter, so it is never taken for a port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ForwardId([u8; LENGTH]);

/// Why a word is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a forward's id is {LENGTH} letters and digits, as 'kubectl fwd list' shows them")]
pub struct ForwardIdError;

impl ForwardId {
    /// The id that these bits stand for. Give it random ones.
    #[doc(hidden)]
    pub fn from_bits(mut bits: u64) -> Self {
        let mut id = [0; LENGTH];
        for (at, byte) in id.iter_mut().enumerate() {
            let alphabet = if at == 0 { LETTERS } else { LETTERS_AND_DIGITS };
            *byte = alphabet[(bits % alphabet.len() as u64) as usize];
            bits /= alphabet.len() as u64;
        }
        Self(id)
    }
}

impl FromStr for ForwardId {
    type Err = ForwardIdError;

    fn from_str(text: &str) -> Result<Self, ForwardIdError> {
        let id: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| ForwardIdError)?;
        let known = LETTERS.contains(&id[0]) && id.iter().all(|byte| LETTERS_AND_DIGITS.contains(byte));
        known.then_some(Self(id)).ok_or(ForwardIdError)
    }
}

impl fmt::Display for ForwardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

impl fmt::Debug for ForwardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ForwardId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ForwardId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a forward is in its life. The words are the same in events, lists and messages (DESIGN §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ForwardState {
    /// Bound, not yet working. Next: `Active`, `Waiting`, `Reconnecting` or `Stopped`.
    Starting,
    /// No pod is ready. Next: `Active` once one is, or `Stopped`.
    Waiting,
    /// Connections go to a pod. Next: any but `Starting`.
    Active,
    /// The session is gone and is dialled again. Next: `Active`, `Waiting`, `Lost` or `Stopped`.
    Reconnecting,
    /// A whole round of attempts failed. Next: `Reconnecting` after a cool-down or a sign of life, or `Stopped`.
    Lost,
    /// Over: no new connections, and those that were under way finish.
    Stopped,
}

impl ForwardState {
    /// The state's word: `starting`, `waiting`, `active`, `reconnecting`, `lost`, `stopped`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

/// Which requests are sent again when the connection to the pod is lost under them (`--retry`). The words are the same on
/// the command line, in sets and over JSON-RPC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetryMode {
    /// None that an application may have seen a byte of.
    #[default]
    None,
    /// The first request of a connection, where it is HTTP/1.x with GET, HEAD or OPTIONS and without a body, and no byte
    /// of an answer came.
    SafeHttp,
}

impl RetryMode {
    /// The mode's word: `none`, `safe-http`.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SafeHttp => "safe-http",
        }
    }
}

/// A forward at one moment. The fields, their names and their meaning are a contract with other programs
/// (docs/CONTROL.md): fields may be added, none renamed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PortForward {
    /// Its identity.
    pub id: ForwardId,
    /// The kind of object, in the singular (`service`, `pod`), or `selector`.
    pub resource_type: String,
    /// The object's name, or the label selector.
    pub name: String,
    /// Where the object is.
    pub namespace: String,
    /// The local TCP port; null for a Unix socket.
    pub local_port: Option<u16>,
    /// The port of the target as it was asked for: a number, or a name.
    pub remote_port: RemotePort,
    /// Whether connections reach a pod now: `state` is `active`.
    pub active: bool,
    /// The context of the kubeconfig; null where none is used.
    pub context: Option<String>,
    /// Where it listens, as `--address` takes it: `localhost`, `127.0.0.2,10.0.0.5`; empty for a Unix socket.
    pub address: String,
    /// The local address where that is a Unix socket, `unix:PATH`, for which `localPort` has no number; null for TCP.
    pub local: Option<String>,
    /// The pod that new connections go to, or went to last; null before the first.
    pub pod: Option<String>,
    /// The port of that pod, translated.
    pub pod_port: Option<u16>,
    /// Where it is in its life.
    pub state: ForwardState,
    /// When it got there.
    pub since: Timestamp,
    /// Its connections.
    pub connections: ConnectionCounts,
    /// What they carried.
    pub bytes: ByteCounts,
    /// How often it went on to another pod.
    pub restarts: u64,
    /// The process that forwards.
    pub pid: u32,
    /// What went wrong last, of this forward or of one of its connections; null if nothing did.
    pub last_error: Option<String>,
    /// What the user calls it (`--name`), which `name` cannot be: that is the object's.
    pub label: Option<String>,
    /// The target in one word, `svc/api`, as messages call it and `stop` takes it.
    pub target: String,
    /// The kubeconfig, where one was named (`--kubeconfig`); null where the usual ones are read.
    pub kubeconfig: Option<String>,
    /// How long a connection waits for a ready pod, in milliseconds.
    pub hold_ms: u64,
    /// How long the start waits for one, in milliseconds.
    pub pod_running_timeout_ms: u64,
    /// Whether a taken local port is replaced by the next free one.
    pub auto_port: bool,
    /// Whether a pod that runs and is not ready will do while none is ready.
    #[serde(default)]
    pub allow_unready: bool,
    /// Which requests are sent again when the connection to the pod is lost under them.
    #[serde(default)]
    pub retry: RetryMode,
}

/// A pod of a forward's target, for those who choose one. A contract, as [`PortForward`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TargetPod {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether new connections may go there: it is ready, or readiness does not count, and it has the port.
    pub candidate: bool,
    /// Whether new connections go there now.
    pub current: bool,
    /// Why it is not ready, as far as it says.
    pub reason: Option<String>,
}

/// Connections of a forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionCounts {
    /// Open now.
    pub open: u64,
    /// Accepted since the start.
    pub total: u64,
    /// Reset because no pod served them.
    pub failed: u64,
    /// Of those open, waiting for a pod.
    pub held: u64,
    /// Attempts made anew on another way, unseen by the client.
    pub retried: u64,
    /// Of those open, which wait for another client that does not read.
    #[serde(default)]
    pub blocked: u64,
}

/// Bytes of application data that a forward carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ByteCounts {
    /// From the pod to local clients.
    #[serde(rename = "in")]
    pub inbound: u64,
    /// From local clients to the pod.
    #[serde(rename = "out")]
    pub outbound: u64,
}

#[cfg(test)]
impl PortForward {
    /// One that works, from local port 8080; tests say what else matters to them.
    pub(crate) fn example(resource_type: &str, name: &str, remote_port: RemotePort) -> Self {
        Self {
            id: ForwardId::from_bits(0),
            resource_type: resource_type.into(),
            name: name.into(),
            namespace: "default".into(),
            local_port: Some(8080),
            remote_port,
            active: true,
            context: None,
            address: "localhost".into(),
            local: None,
            pod: None,
            pod_port: None,
            state: ForwardState::Active,
            since: Timestamp::UNIX_EPOCH,
            connections: ConnectionCounts::default(),
            bytes: ByteCounts::default(),
            restarts: 0,
            pid: 1,
            last_error: None,
            label: None,
            target: String::new(),
            kubeconfig: None,
            hold_ms: 30_000,
            pod_running_timeout_ms: 60_000,
            auto_port: false,
            allow_unready: false,
            retry: RetryMode::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_never_look_like_a_port() {
        for bits in [0, 1, 23, 700, u64::from(u32::MAX), u64::MAX] {
            let id = ForwardId::from_bits(bits);
            let text = id.to_string();
            assert_eq!(text.parse(), Ok(id));
            assert!(text.len() == LENGTH && text.starts_with(|c: char| c.is_ascii_lowercase()), "{text}");
            assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        }
        assert_ne!(ForwardId::from_bits(1), ForwardId::from_bits(2));
        for word in ["", "8080", "808080", "abcde", "abcdefg", "ABCDEF", "abcde0", "abcdé", "2bcdef"] {
            assert_eq!(word.parse::<ForwardId>(), Err(ForwardIdError), "{word}");
        }
    }

    /// Other programs are built on exactly this.
    #[test]
    fn the_shape() {
        let text = r#"{"id":"aaaaaa","resourceType":"service","name":"api","namespace":"default","localPort":8080,
            "remotePort":"http","active":true,"context":"prod","address":"localhost","local":null,"pod":"api-1",
            "podPort":8080,"state":"active","since":"2026-01-02T03:04:05Z",
            "connections":{"open":1,"total":2,"failed":3,"held":4,"retried":5,"blocked":6},"bytes":{"in":6,"out":7},
            "restarts":8,"pid":9,"lastError":null,"label":"a","target":"svc/api","kubeconfig":null,"holdMs":30000,
            "podRunningTimeoutMs":60000,"autoPort":false,"allowUnready":false,"retry":"safe-http"}"#;
        let forward: PortForward = serde_json::from_str(text).unwrap();
        assert_eq!(
            (forward.state, forward.bytes.inbound, forward.bytes.outbound),
            (ForwardState::Active, 6, 7)
        );
        let expected: String = text.split_whitespace().collect();
        assert_eq!(serde_json::to_string(&forward).unwrap(), expected);
    }

    #[test]
    fn one_word_a_mode() {
        for mode in [RetryMode::None, RetryMode::SafeHttp] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.word());
        }
    }

    #[test]
    fn one_word_a_state() {
        use ForwardState::{Active, Lost, Reconnecting, Starting, Stopped, Waiting};
        for state in [Starting, Waiting, Active, Reconnecting, Lost, Stopped] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }
}
