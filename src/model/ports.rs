//! Ports as a user writes them, `[[ADDRESS:]LOCAL:]REMOTE`, and as they are once a pod is chosen.
//!
//! The grammar is kubectl's (PROTOCOL §6), with two additions: an address in front, and `unix:PATH` for LOCAL. Where
//! kubectl reads surprising things silently (`1:2:3` means 1), this refuses them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// The local address: where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LocalPort {
    /// The number of the remote port, as `80` means `80:80`: for a service its own port, not the target port.
    Same,
    /// Any free port: `:80` and `0:80`.
    Any,
    /// This port.
    Number(u16),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// The remote end, as typed: a port of the pod, or of the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RemotePort {
    /// A number, 1 to 65535.
    Number(u16),
    /// A port's name, looked up anew in each pod.
    Name(String),
}

/// A port to forward: where to listen, and the port behind it. Its text, [`FromStr`](std::str::FromStr), is
/// `[[ADDRESS:]LOCAL:]REMOTE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortSpec {
    /// `ADDRESS:` in front; `None` means the addresses of the command.
    pub address: Option<Address>,
    /// Where to listen.
    pub local: LocalPort,
    /// Where to forward.
    pub remote: RemotePort,
}

/// An address to listen on, as `--address` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// `localhost`: 127.0.0.1 and ::1, of which one may fail.
    Localhost,
    /// An address that must be bound.
    Ip(IpAddr),
}

/// An IP to listen on, of those that addresses stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenIp {
    /// Which.
    pub ip: IpAddr,
    /// A machine that lacks it is no reason to fail, as long as something else is listened on.
    pub optional: bool,
}

/// Why a word is not a port. The words are meant for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// More colons than the grammar has.
    #[error("'{0}' has too many parts: a port is [[ADDRESS:]LOCAL:]REMOTE")]
    TooManyParts(String),
    /// The part behind the last colon is missing.
    #[error("'{0}' has no remote port")]
    NoRemote(String),
    /// A number outside 1 to 65535, or 0 where a port is needed.
    #[error("{} is not a port: ports are 1 to 65535", inside(part, text))]
    OutOfRange {
        /// The whole argument.
        text: String,
        /// The offending part.
        part: String,
    },
    /// The local part is neither a number nor `unix:PATH`.
    #[error(
        "'{part}' in '{text}' is not a local port: it has to be a number, empty for any free port, or unix:PATH"
    )]
    BadLocal {
        /// The whole argument.
        text: String,
        /// The offending part.
        part: String,
    },
    /// The remote part is neither a number nor a name that a port can have.
    #[error("{} is neither a port number nor a port name", inside(part, text))]
    BadRemote {
        /// The whole argument.
        text: String,
        /// The offending part.
        part: String,
    },
    /// The address part is not `localhost` and not an IP.
    #[error("'{0}' is not a valid IP")]
    BadAddress(String),
}

impl Address {
    /// Reads `localhost` or an IP, with or without brackets.
    #[doc(hidden)]
    pub fn parse(text: &str) -> Result<Self, PortError> {
        if text == "localhost" {
            return Ok(Self::Localhost);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        // `::ffff:127.0.0.1` is an IPv4 address, to Go and so to kubectl as well.
        let ip = bare.parse().map(|ip: IpAddr| ip.to_canonical());
        ip.map(Self::Ip).map_err(|_| PortError::BadAddress(text.to_owned()))
    }

    /// The IPs that it stands for.
    #[doc(hidden)]
    pub fn ips(self) -> Vec<IpAddr> {
        match self {
            Self::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::Ip(ip) => vec![ip],
        }
    }
}

/// Whether a listener on `wide` takes what one on `narrow` wants: the same, or every address of the family.
pub fn ip_covers(wide: IpAddr, narrow: IpAddr) -> bool {
    wide == narrow || (wide.is_unspecified() && wide.is_ipv4() == narrow.is_ipv4())
}

/// The IPs that a port is listened on, each once and in the order of their text, which is kubectl's and so that of the lines
/// on stdout. Those that another one of them takes are left out, for they would be a conflict with ourselves.
pub fn listen_ips(addresses: &[Address]) -> Vec<ListenIp> {
    let mut all: Vec<ListenIp> = Vec::new();
    for address in addresses {
        let may_lack = *address == Address::Localhost;
        for ip in address.ips() {
            match all.iter_mut().find(|one| one.ip == ip) {
                Some(one) => one.optional &= may_lack,
                None => all.push(ListenIp { ip, optional: may_lack }),
            }
        }
    }
    let taken = |one: &ListenIp| all.iter().any(|other| other.ip != one.ip && ip_covers(other.ip, one.ip));
    let mut listened: Vec<ListenIp> = all.iter().filter(|one| !taken(one)).copied().collect();
    listened.sort_by_cached_key(|one| one.ip.to_string());
    listened
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl fmt::Display for RemotePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(Address::Ip(IpAddr::V6(ip))) => write!(f, "[{ip}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        match &self.local {
            // An address has to be followed by a local address.
            LocalPort::Same if self.address.is_some() => write!(f, "{}:", self.remote)?,
            LocalPort::Same => {}
            LocalPort::Any => f.write_str(":")?,
            LocalPort::Number(number) => write!(f, "{number}:")?,
            LocalPort::Unix(path) => write!(f, "unix:{}:", path.display())?,
        }
        self.remote.fmt(f)
    }
}

impl PortSpec {
    /// Reads one port argument.
    #[doc(hidden)]
    pub fn parse(text: &str) -> Result<Self, PortError> {
        // A Unix path may hold colons itself; the remote is what stands behind the last one.
        if let Some(rest) = text.strip_prefix("unix:") {
            let (path, remote) = rest.rsplit_once(':').ok_or_else(|| PortError::NoRemote(text.to_owned()))?;
            if path.is_empty() {
                return Err(PortError::BadLocal { text: text.to_owned(), part: "unix:".to_owned() });
            }
            return Ok(Self {
                address: None,
                local: LocalPort::Unix(path.into()),
                remote: remote_part(text, remote)?,
            });
        }
        let mut parts = text.rsplitn(3, ':');
        let remote = remote_part(text, parts.next().unwrap_or_default())?;
        let local = match parts.next() {
            None => LocalPort::Same,
            // kubectl reads `http:http` as `http`, and any number of zeros as 0.
            Some(part) if remote == RemotePort::Name(part.to_owned()) => LocalPort::Same,
            Some(part) if part.bytes().all(|byte| byte == b'0') => LocalPort::Any,
            Some(part) => LocalPort::Number(
                number(text, part)?
                    .ok_or_else(|| PortError::BadLocal { text: text.to_owned(), part: part.to_owned() })?,
            ),
        };
        let address = match parts.next() {
            None => None,
            // A bare IPv6 address has colons as well: `1:2:3:4` is a port with too many parts, `[::1]:80:80` is not.
            Some(part) if part.contains(':') && !part.starts_with('[') => {
                return Err(PortError::TooManyParts(text.to_owned()));
            }
            Some(part) => Some(Address::parse(part)?),
        };
        Ok(Self { address, local, remote })
    }
}

/// A part that is a port number; `None` where it is no number at all.
fn number(text: &str, part: &str) -> Result<Option<u16>, PortError> {
    let digits = part.strip_prefix('-').unwrap_or(part);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match part.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(PortError::OutOfRange { text: text.to_owned(), part: part.to_owned() }),
    }
}

/// The part and, where it is but a part, the whole.
fn inside(part: &str, text: &str) -> String {
    if part == text { format!("'{part}'") } else { format!("'{part}' in '{text}'") }
}

fn remote_part(text: &str, part: &str) -> Result<RemotePort, PortError> {
    if part.is_empty() {
        return Err(PortError::NoRemote(text.to_owned()));
    }
    if let Some(port) = number(text, part)? {
        return Ok(RemotePort::Number(port));
    }
    // Kubernetes' rule for port names (IANA_SVC_NAME) without its length, which old objects may exceed.
    if part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !part.starts_with('-') {
        Ok(RemotePort::Name(part.to_owned()))
    } else {
        Err(PortError::BadRemote { text: text.to_owned(), part: part.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(local: LocalPort, remote: RemotePort) -> PortSpec {
        PortSpec { address: None, local, remote }
    }

    #[test]
    fn grammar() {
        let http = || RemotePort::Name("http".into());
        for (text, expected) in [
            ("80", spec(LocalPort::Same, RemotePort::Number(80))),
            ("8080:80", spec(LocalPort::Number(8080), RemotePort::Number(80))),
            (":80", spec(LocalPort::Any, RemotePort::Number(80))),
            ("0:80", spec(LocalPort::Any, RemotePort::Number(80))),
            ("00:80", spec(LocalPort::Any, RemotePort::Number(80))),
            ("http", spec(LocalPort::Same, http())),
            ("http:http", spec(LocalPort::Same, http())),
            ("9090:http", spec(LocalPort::Number(9090), http())),
            ("unix:/tmp/a:b.sock:80", spec(LocalPort::Unix("/tmp/a:b.sock".into()), RemotePort::Number(80))),
        ] {
            assert_eq!(PortSpec::parse(text), Ok(expected), "{text}");
        }
        let with_address = PortSpec::parse("127.0.0.2:8080:80").map(|s| s.address);
        assert_eq!(with_address, Ok(Some(Address::Ip([127, 0, 0, 2].into()))));
        let v6 = PortSpec::parse("[::1]:8080:80").map(|s| s.address);
        assert_eq!(v6, Ok(Some(Address::Ip(Ipv6Addr::LOCALHOST.into()))));
        assert_eq!(PortSpec::parse("localhost::80").map(|s| s.address), Ok(Some(Address::Localhost)));
    }

    #[test]
    fn what_is_listened_on() {
        for (addresses, expected) in [
            ("localhost", "127.0.0.1? ::1?"),
            ("0.0.0.0 ::", "0.0.0.0 ::"),
            (":: 0.0.0.0", "0.0.0.0 ::"),
            ("localhost 0.0.0.0", "0.0.0.0 ::1?"),
            ("0.0.0.0 localhost", "0.0.0.0 ::1?"),
            (":: localhost", "127.0.0.1? ::"),
            ("0.0.0.0 :: localhost", "0.0.0.0 ::"),
            ("::1 ::", "::"),
            ("localhost 127.0.0.1", "127.0.0.1 ::1?"),
            ("127.0.0.2 127.0.0.1 127.0.0.2", "127.0.0.1 127.0.0.2"),
            ("127.0.0.9 localhost 127.0.0.10", "127.0.0.1? 127.0.0.10 127.0.0.9 ::1?"),
            ("::ffff:127.0.0.1 127.0.0.1", "127.0.0.1"),
            ("::ffff:0.0.0.0 127.0.0.1", "0.0.0.0"),
        ] {
            let addresses: Vec<_> = addresses.split(' ').map(|text| Address::parse(text).unwrap()).collect();
            let ips = listen_ips(&addresses);
            let ips: Vec<_> =
                ips.iter().map(|one| format!("{}{}", one.ip, if one.optional { "?" } else { "" })).collect();
            assert_eq!(ips.join(" "), expected, "{addresses:?}");
        }
    }

    #[test]
    fn refusals() {
        use PortError::{BadAddress, BadLocal, BadRemote, NoRemote, OutOfRange, TooManyParts};
        for text in ["", "8080:", ":", "unix:/tmp/x"] {
            assert!(matches!(PortSpec::parse(text), Err(NoRemote(_))), "{text}");
        }
        for text in ["0", "65536", "-1", "8080:0", "70000:80", "-5:80"] {
            assert!(matches!(PortSpec::parse(text), Err(OutOfRange { .. })), "{text}");
        }
        assert!(matches!(PortSpec::parse("abc:80"), Err(BadLocal { .. })));
        assert!(matches!(PortSpec::parse("80:a_b"), Err(BadRemote { .. })));
        assert!(matches!(PortSpec::parse("80:-a"), Err(BadRemote { .. })));
        assert!(matches!(PortSpec::parse("1:2:3"), Err(BadAddress(_))));
        assert!(matches!(PortSpec::parse("1:2:3:4"), Err(TooManyParts(_))));
        assert!(matches!(PortSpec::parse("example.com:1:2"), Err(BadAddress(_))));
    }

    #[test]
    fn written_as_they_are_read() {
        for text in [
            "80",
            "8080:80",
            ":http",
            "127.0.0.1:8080:80",
            "[::1]::80",
            "localhost:80:80",
            "unix:/tmp/a:b:80",
        ] {
            assert_eq!(PortSpec::parse(text).map(|port| port.to_string()).as_deref(), Ok(text));
        }
    }
}
