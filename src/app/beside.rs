//! A command beside forwards: from its words and the forwards that were started to what is executed.

use std::ffi::OsString;

use super::command::CommandLine;
use crate::{
    error::Fatal,
    forward::{
        ForwardSpec,
        registry::{Registry, SELECTOR},
    },
    input::placeholder::{Placeholder, expand},
    model::{
        event::LocalAddress,
        forward::PortForward,
        ports::{Address, LocalPort},
        target::{Target, TargetRef},
    },
    policy::command_values::{NamedForward, PlaceholderError, fill_in, for_clients, variables},
};

/// A command as it was typed, whose placeholders mean forwards that were asked for.
#[derive(Debug)]
pub(super) struct CommandTemplate {
    words: Vec<OsString>,
    forwards: Vec<NamedForward>,
}

/// The forwards beside which a command runs.
pub(super) struct StartedForwards {
    /// Those of this process, in the order in which they were asked for.
    pub here: Vec<PortForward>,
    /// Those of a set that ran already, in other processes.
    pub elsewhere: Vec<PortForward>,
}

impl CommandTemplate {
    /// `None` where there is no command. What it says of the forwards is checked as far as they are known before they start.
    pub(super) fn new(words: Vec<OsString>, wanted: &[ForwardSpec]) -> Result<Option<Self>, Fatal> {
        if words.is_empty() {
            return Ok(None);
        }
        let (mut forwards, mut addresses) = (Vec::new(), Vec::new());
        for ForwardSpec { request, label, .. } in wanted {
            for port in &request.ports {
                forwards.push(NamedForward {
                    target: request.target.clone(),
                    remote: port.remote.clone(),
                    label: label.clone(),
                });
                // Which port it is does not matter yet; whether there is one does.
                addresses.push(Some(match &port.local {
                    LocalPort::Unix(path) => LocalAddress::Unix(path.clone()),
                    _ => LocalAddress::Tcp(([127, 0, 0, 1], 0).into()),
                }));
            }
        }
        let template = Self { words, forwards };
        template.filled_in(&addresses)?;
        Ok(Some(template))
    }

    /// What is executed, beside these forwards.
    pub(super) fn line(
        &self,
        registry: &Registry,
        started: &StartedForwards,
        open_files: Option<u64>,
    ) -> Result<CommandLine, Fatal> {
        let addresses = self.addresses(started, |forward| for_clients(&registry.local_addresses(forward.id)));
        let mut words = self.filled_in(&addresses)?.into_iter();
        Ok(CommandLine {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            variables: variables(&self.forwards, &addresses),
            open_files,
        })
    }

    /// The address of each forward that was asked for. Some may not have been started; the others come in their order.
    fn addresses(
        &self,
        started: &StartedForwards,
        address: impl Fn(&PortForward) -> Option<LocalAddress>,
    ) -> Vec<Option<LocalAddress>> {
        let mut left = started.here.as_slice();
        let of = |wanted: &NamedForward| {
            let target = wanted.target.to_string();
            if let Some((first, others)) = left.split_first()
                && first.target == target
                && first.remote_port == wanted.remote
                && first.label == wanted.label
            {
                left = others;
                return address(first);
            }
            started.elsewhere.iter().find(|one| is_to(one, wanted)).and_then(of_other_process)
        };
        self.forwards.iter().map(of).collect()
    }

    fn filled_in(&self, addresses: &[Option<LocalAddress>]) -> Result<Vec<OsString>, Fatal> {
        let value = |found: Placeholder<'_>| {
            fill_in(found, &self.forwards, addresses).map_err(|error| unfilled(found, error))
        };
        let words = self.words.iter().map(|word| match word.to_str() {
            Some(text) => expand(text, value).map(OsString::from),
            // Not text, so not ours.
            None => Ok(word.clone()),
        });
        words.collect()
    }
}

/// Whether a forward of another process leads where this one is to.
fn is_to(forward: &PortForward, wanted: &NamedForward) -> bool {
    let Target { namespace, subject } = &wanted.target;
    let same = match subject {
        TargetRef::Object(kind, name) => forward.resource_type == kind.singular() && forward.name == *name,
        TargetRef::Selector(labels) => forward.resource_type == SELECTOR && forward.name == *labels,
    };
    same && forward.remote_port == wanted.remote
        && namespace.as_ref().is_none_or(|one| *one == forward.namespace)
}

/// Where a forward of another process is reached. Of `localhost` it has one address at least.
fn of_other_process(forward: &PortForward) -> Option<LocalAddress> {
    if let Some(path) = forward.local.as_deref().and_then(|local| local.strip_prefix("unix:")) {
        return Some(LocalAddress::Unix(path.into()));
    }
    let ip =
        forward.address.split(',').find_map(|text| Address::parse(text).ok()?.ips().into_iter().next())?;
    for_clients(&[LocalAddress::Tcp((ip, forward.local_port?).into())])
}

fn unfilled(found: Placeholder<'_>, error: PlaceholderError) -> Fatal {
    let (text, word) = (found.text, found.part.word());
    let other = |name: &str| format!("{{{word}:{name}}}");
    let literally = format!("to pass on the text {text} itself, write {{{text}}}");
    let fatal = |what: String| Fatal::new("fwd::usage::placeholder", what);
    match error {
        PlaceholderError::Unknown { names, near } => {
            let fatal = fatal(format!("no forward is meant by {text} in the command"))
                .because(format!("the forwards are {}", names.join(", ")));
            match near {
                Some(near) => fatal.help(format!("did you mean {}? {literally}", other(&near))),
                None => fatal.help(format!(
                    "a forward is named by its target, its port or its --name, as in {}; {literally}",
                    other(names.first().map_or("", String::as_str))
                )),
            }
        }
        PlaceholderError::Ambiguous { names } => {
            let ways: Vec<_> = names.iter().map(|name| other(name)).collect();
            fatal(format!("{text} in the command could mean {} forwards", names.len()))
                .because(format!("it could be {}", names.join(" or ")))
                .help(format!("write {}", ways.join(" or ")))
        }
        PlaceholderError::NotStarted { name } => {
            fatal(format!("{text} in the command means {name}, which was not started"))
                .help("see the messages above for the reason")
        }
        PlaceholderError::UnixSocket { name } => {
            fatal(format!("{text} in the command means {name}, which has no {word}"))
                .because("it listens on a Unix socket")
                .help("write {addr} for the path of the socket, or give the forward a local port")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    fn wanted(targets: &[(&str, &str)]) -> Vec<ForwardSpec> {
        let spec = |(target, port): &(&str, &str)| {
            ForwardSpec::new(target.parse().unwrap(), [port.parse().unwrap()])
        };
        targets.iter().map(spec).collect()
    }

    fn template(words: &[&str], targets: &[(&str, &str)]) -> Result<CommandTemplate, Fatal> {
        let words = words.iter().map(OsString::from).collect();
        CommandTemplate::new(words, &wanted(targets)).map(|template| template.expect("there is a command"))
    }

    #[test]
    fn mistakes_are_known_before_anything_starts() {
        let two = [("svc/api", "80"), ("svc/api", "metrics"), ("svc/db", "unix:/tmp/s:5432")];
        for (word, what, help) in [
            (
                "{port:metric}",
                "no forward is meant by {port:metric} in the command",
                "did you mean {port:metrics}?",
            ),
            ("{port:metric}", "no forward is meant", "write {{port:metric}}"),
            ("{port:qqqqqq}", "no forward is meant", "as in {port:svc/api:80}"),
            (
                "{addr:api}",
                "{addr:api} in the command could mean 2 forwards",
                "{addr:svc/api:80} or {addr:svc/api:metrics}",
            ),
            ("{host:db}", "{host:db} in the command means svc/db:5432, which has no host", "{addr}"),
        ] {
            let fatal = template(&["x", word], &two).expect_err(word);
            assert_eq!(fatal.code(), "fwd::usage::placeholder");
            assert!(fatal.to_string().starts_with(what), "{word}: {fatal}");
            assert!(fatal.advice().is_some_and(|advice| advice.contains(help)), "{word}: {fatal:?}");
        }
        assert!(CommandTemplate::new(Vec::new(), &wanted(&two)).is_ok_and(|none| none.is_none()));
    }

    /// `up --keep-going` starts what can be started.
    #[test]
    fn what_was_not_started_has_no_address() {
        let asked = [("svc/a", ":1"), ("svc/d", ":4"), ("svc/b", ":2"), ("svc/c", ":3")];
        let started = |name: &str, port| PortForward {
            target: format!("svc/{name}"),
            ..PortForward::example("service", name, RemotePort::Number(port))
        };
        let template = template(&["x"], &asked).unwrap();
        let address = |forward: &PortForward| {
            let RemotePort::Number(number) = forward.remote_port else { return None };
            Some(LocalAddress::Tcp(([127, 0, 0, 1], number).into()))
        };
        // Its local address is its own: in another process.
        let other = PortForward { address: "0.0.0.0".into(), local_port: Some(70), ..started("d", 4) };
        let ports = |forwards: &[PortForward]| {
            let text = |address: &Option<LocalAddress>| address.as_ref().map(ToString::to_string);
            let started = StartedForwards { here: forwards.to_vec(), elsewhere: vec![other.clone()] };
            template.addresses(&started, address).iter().map(text).collect::<Vec<_>>()
        };
        let at = |port: u16| Some(format!("127.0.0.1:{port}"));
        assert_eq!(ports(&[started("a", 1), started("c", 3)]), [at(1), at(70), None, at(3)]);
        assert_eq!(ports(&[started("b", 2)]), [None, at(70), at(2), None]);
        let CommandTemplate { words: _, forwards } = template;
        let first = CommandTemplate { words: vec!["{port}".into()], forwards };
        let fatal = first.filled_in(&[None, Some(LocalAddress::Unix("/s".into())), None]).unwrap_err();
        assert!(fatal.to_string().contains("means svc/a:1, which was not started"), "{fatal}");
    }
}
