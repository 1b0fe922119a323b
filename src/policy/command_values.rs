//! What a command that runs beside forwards is told of them: what stands in the place of its placeholders
//! ([`crate::input::placeholder`]) and in its environment.

use std::{collections::BTreeMap, net::IpAddr};

use super::nearest::nearest;
use crate::{
    input::placeholder::{AddressPart, Placeholder},
    model::{
        event::LocalAddress,
        ports::RemotePort,
        target::{Target, TargetRef},
    },
};

/// A forward as it was asked for, by which a name is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedForward {
    /// Its target.
    pub target: Target,
    /// The port of it.
    pub remote: RemotePort,
    /// What the user calls it.
    pub label: Option<String>,
}

/// Why a placeholder cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceholderError {
    /// No forward is called so.
    Unknown {
        /// The names that there are.
        names: Vec<String>,
        /// The one that was probably meant.
        near: Option<String>,
    },
    /// Several are.
    Ambiguous {
        /// Names by which they can be told apart.
        names: Vec<String>,
    },
    /// The forward that is meant was not started.
    NotStarted {
        /// Which.
        name: String,
    },
    /// A Unix socket has neither a host nor a port.
    UnixSocket {
        /// Which forward listens on one.
        name: String,
    },
}

impl NamedForward {
    /// Its target and port, as a list shows them: `svc/api:http`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.target, self.remote)
    }

    /// Whether `word` is its label, its port, its target or its target with the port.
    fn is_called(&self, word: &str) -> bool {
        let port = self.remote.to_string();
        let with_port = word.rsplit_once(':').filter(|(_, behind)| *behind == port);
        self.label.as_deref() == Some(word)
            || port == word
            || self.is_target(word)
            || with_port.is_some_and(|(target, _)| self.is_target(target))
    }

    /// Whether `word` is the target's name, or how somebody would type the target.
    fn is_target(&self, word: &str) -> bool {
        let (TargetRef::Object(_, name) | TargetRef::Selector(name)) = &self.target.subject;
        let typed = || Target::parse(word).ok().filter(|_| word.contains('/'));
        name == word
            || self.target.to_string() == word
            || typed().is_some_and(|typed| {
                typed.subject == self.target.subject
                    && (typed.namespace.is_none() || typed.namespace == self.target.namespace)
            })
    }
}

/// The forward that a placeholder means, by its place: the first one, or the only one that is called so.
pub fn find(wanted: Placeholder<'_>, forwards: &[NamedForward]) -> Result<usize, PlaceholderError> {
    let Some(name) = wanted.name else { return Ok(0) };
    let found: Vec<usize> = (0..forwards.len()).filter(|at| forwards[*at].is_called(name)).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let names: Vec<String> = forwards.iter().map(NamedForward::full_name).collect();
            let known = forwards.iter().flat_map(|forward| {
                let (TargetRef::Object(_, name) | TargetRef::Selector(name)) = &forward.target.subject;
                let own = [name.clone(), forward.remote.to_string(), forward.target.to_string()];
                own.into_iter().chain(forward.label.clone())
            });
            let known: Vec<String> = known.collect();
            let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            Err(PlaceholderError::Unknown { names, near })
        }
        several => {
            let names = several.iter().map(|at| forwards[*at].full_name()).collect();
            Err(PlaceholderError::Ambiguous { names })
        }
    }
}

/// What stands in the place of a placeholder, where the forwards that were started listen at `addresses`.
pub fn fill_in(
    wanted: Placeholder<'_>,
    forwards: &[NamedForward],
    addresses: &[Option<LocalAddress>],
) -> Result<String, PlaceholderError> {
    let at = find(wanted, forwards)?;
    let name = || forwards.get(at).map(NamedForward::full_name).unwrap_or_default();
    let Some(Some(address)) = addresses.get(at) else {
        return Err(PlaceholderError::NotStarted { name: name() });
    };
    part(address, wanted.part).ok_or_else(|| PlaceholderError::UnixSocket { name: name() })
}

/// The address of those that a forward listens on at which a client on this machine reaches it.
pub fn for_clients(bound: &[LocalAddress]) -> Option<LocalAddress> {
    bound.first().cloned().map(|address| match address {
        LocalAddress::Tcp(mut address) => {
            match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
                _ => {}
            }
            LocalAddress::Tcp(address)
        }
        unix @ LocalAddress::Unix(_) => unix,
    })
}

fn part(address: &LocalAddress, part: AddressPart) -> Option<String> {
    match (address, part) {
        (LocalAddress::Tcp(address), AddressPart::Port) => Some(address.port().to_string()),
        (LocalAddress::Tcp(address), AddressPart::Host) => Some(address.ip().to_string()),
        (LocalAddress::Tcp(_), AddressPart::Addr) => Some(address.to_string()),
        (LocalAddress::Unix(path), AddressPart::Addr) => Some(path.display().to_string()),
        (LocalAddress::Unix(_), _) => None,
    }
}

/// The variables of the command's environment, each with its value or, where an inherited one would mislead, without:
/// `FWD_PORT`, `FWD_ADDR` and `FWD_HOST` of the first forward, and `FWD_<TARGET>_<PORT>_ADDR` of each.
///
/// Ports of one target under one name are alike to a client, and the first of them has it. A name that would mean different
/// targets is not set: a missing address is noticed, a wrong one is not.
pub fn variables(
    forwards: &[NamedForward],
    addresses: &[Option<LocalAddress>],
) -> Vec<(String, Option<String>)> {
    let first = addresses.first().and_then(Option::as_ref);
    let mut all: Vec<_> = AddressPart::ALL
        .into_iter()
        .map(|which| {
            let name = format!("FWD_{}", which.word().to_ascii_uppercase());
            (name, first.and_then(|address| part(address, which)))
        })
        .collect();
    let mut named: BTreeMap<String, (&Target, Option<String>)> = BTreeMap::new();
    for (forward, address) in forwards.iter().zip(addresses) {
        let (TargetRef::Object(_, name) | TargetRef::Selector(name)) = &forward.target.subject;
        let name = variable_name(&format!("FWD_{name}_{}_ADDR", forward.remote));
        let value = address.as_ref().and_then(|address| part(address, AddressPart::Addr));
        let entry = named.entry(name).or_insert((&forward.target, value));
        if *entry.0 != forward.target {
            entry.1 = None;
        }
    }
    all.extend(named.into_iter().map(|(name, (_, value))| (name, value)));
    all
}

/// A name that every shell can read: upper case, and `_` for all that is no letter and no digit.
fn variable_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(target: &str, remote: &str, label: Option<&str>) -> NamedForward {
        let target = target.strip_prefix("-l ").map_or_else(
            || Target::parse(target).unwrap(),
            |labels| Target { namespace: None, subject: TargetRef::Selector(labels.into()) },
        );
        let remote = remote.parse().map_or_else(|_| RemotePort::Name(remote.into()), RemotePort::Number);
        NamedForward { target, remote, label: label.map(str::to_owned) }
    }

    fn all() -> Vec<NamedForward> {
        vec![
            forward("svc/db", "5432", Some("main")),
            forward("svc/api", "80", None),
            forward("svc/api", "metrics", None),
            forward("x/sts/web", "http", None),
            forward("-l app=web", "81", None),
        ]
    }

    fn named(name: &str) -> Placeholder<'_> {
        Placeholder { part: AddressPart::Port, name: Some(name), text: "{port:…}" }
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("db", 0),
            ("main", 0),
            ("5432", 0),
            ("svc/db", 0),
            ("service/db", 0),
            ("db:5432", 0),
            ("svc/db:5432", 0),
            ("80", 1),
            ("api:80", 1),
            ("metrics", 2),
            ("svc/api:metrics", 2),
            ("web", 3),
            ("sts/web", 3),
            ("x/sts/web", 3),
            ("x/statefulset/web:http", 3),
            ("app=web", 4),
            ("-l app=web", 4),
        ] {
            assert_eq!(find(named(name), &all()), Ok(expected), "{name}");
        }
        let first = Placeholder { name: None, ..named("") };
        assert_eq!(find(first, &all()), Ok(0));
    }

    #[test]
    fn what_no_name_means() {
        let ambiguous =
            |names: [&str; 2]| Err(PlaceholderError::Ambiguous { names: names.map(str::to_owned).to_vec() });
        assert_eq!(find(named("api"), &all()), ambiguous(["svc/api:80", "svc/api:metrics"]));
        let both = [forward("svc/a", "80", None), forward("svc/b", "80", None)];
        assert_eq!(find(named("80"), &both), ambiguous(["svc/a:80", "svc/b:80"]));
        for (name, near) in [("metric", Some("metrics")), ("zzzzzz", None), ("y/sts/web", None)] {
            let Err(PlaceholderError::Unknown { names, near: found }) = find(named(name), &all()) else {
                panic!("{name}")
            };
            assert_eq!(names.len(), 5);
            if near.is_some() {
                assert_eq!(found.as_deref(), near, "{name}");
            }
        }
    }

    #[test]
    fn values() {
        let tcp = |text: &str| Some(LocalAddress::Tcp(text.parse().unwrap()));
        let unix = Some(LocalAddress::Unix("/tmp/s".into()));
        let forwards =
            [forward("svc/a", "1", None), forward("svc/b", "2", None), forward("svc/c", "3", None)];
        let addresses = [tcp("[::1]:70"), unix, None];
        let value = |name, part| fill_in(Placeholder { part, ..named(name) }, &forwards, &addresses);
        assert_eq!(value("a", AddressPart::Port).as_deref(), Ok("70"));
        assert_eq!(value("a", AddressPart::Host).as_deref(), Ok("::1"));
        assert_eq!(value("a", AddressPart::Addr).as_deref(), Ok("[::1]:70"));
        assert_eq!(value("b", AddressPart::Addr).as_deref(), Ok("/tmp/s"));
        assert_eq!(
            value("b", AddressPart::Port),
            Err(PlaceholderError::UnixSocket { name: "svc/b:2".into() })
        );
        assert_eq!(
            value("c", AddressPart::Port),
            Err(PlaceholderError::NotStarted { name: "svc/c:3".into() })
        );
    }

    #[test]
    fn clients_connect_to_this_machine() {
        for (bound, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("10.0.0.5:1", "10.0.0.5:1"),
        ] {
            let bound = LocalAddress::Tcp(bound.parse().unwrap());
            assert_eq!(for_clients(&[bound]).map(|address| address.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(for_clients(&[]), None);
    }

    #[test]
    fn the_environment() {
        let tcp = |port: u16| Some(LocalAddress::Tcp(([127, 0, 0, 1], port).into()));
        let forwards = [
            forward("svc/my-api.v2", "http", None),
            forward("svc/my-api.v2", "http", None),
            forward("a/svc/db", "5432", None),
            forward("b/svc/db", "5432", None),
            forward("-l app=web", "80", None),
        ];
        let addresses = [tcp(1), tcp(2), tcp(3), tcp(4), Some(LocalAddress::Unix("/s".into()))];
        let set: Vec<_> = variables(&forwards, &addresses);
        let expected = [
            ("FWD_PORT", Some("1")),
            ("FWD_ADDR", Some("127.0.0.1:1")),
            ("FWD_HOST", Some("127.0.0.1")),
            ("FWD_APP_WEB_80_ADDR", Some("/s")),
            ("FWD_DB_5432_ADDR", None),
            ("FWD_MY_API_V2_HTTP_ADDR", Some("127.0.0.1:1")),
        ];
        let set: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(set, expected);
        let unix = variables(&forwards[..1], &addresses[4..]);
        assert_eq!(unix[0], ("FWD_PORT".to_owned(), None));
    }
}
