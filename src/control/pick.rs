//! Which forwards a word of `kubectl fwd stop` means. Pure.
//!
//! In this order: an id; a local port; a label (`--name`), which means all forwards that have it; a target, with or
//! without its port, which means all forwards to that object. What could mean several things means nothing.

use crate::{
    error::Fatal,
    model::{forward::PortForward, target::Target},
    policy::nearest::nearest,
};

/// The forwards that the word means: at least one.
pub fn pick<'a>(word: &str, all: &'a [PortForward]) -> Result<Vec<&'a PortForward>, Fatal> {
    let found = |which: &dyn Fn(&PortForward) -> bool| -> Vec<&'a PortForward> {
        all.iter().filter(|one| which(one)).collect()
    };
    let by_id = found(&|one| one.id.to_string() == word);
    if !by_id.is_empty() {
        return Ok(by_id);
    }
    if let Ok(port) = word.parse::<u16>() {
        let by_port = found(&|one| one.local_port == Some(port));
        return match by_port.len() {
            0 => Err(unknown(word, "no forward listens on this port", all)),
            1 => Ok(by_port),
            _ => Err(ambiguous(word, &by_port)),
        };
    }
    let by_label = found(&|one| one.label.as_deref() == Some(word));
    if !by_label.is_empty() {
        return Ok(by_label);
    }
    let by_target = found(&|one| is_target(word, one));
    match by_target.split_first() {
        None => Err(unknown(word, "no forward has this id, name or target", all)),
        Some((first, others)) if others.iter().all(|one| same_object(one, first)) => Ok(by_target),
        Some(_) => Err(ambiguous(word, &by_target)),
    }
}

fn same_object(one: &PortForward, other: &PortForward) -> bool {
    let of = |forward: &PortForward| {
        (
            forward.context.clone(),
            forward.namespace.clone(),
            forward.resource_type.clone(),
            forward.name.clone(),
        )
    };
    of(one) == of(other)
}

/// Whether the word is how somebody would type the forward's target, or its target and port as a list shows them.
fn is_target(word: &str, forward: &PortForward) -> bool {
    let with_port = word.rsplit_once(':').filter(|(_, port)| *port == forward.remote_port.to_string());
    let local = forward.local.as_deref() == Some(word);
    local || names(word, forward) || with_port.is_some_and(|(target, _)| names(target, forward))
}

fn names(word: &str, forward: &PortForward) -> bool {
    if word == forward.target {
        return true;
    }
    let Ok(Target { namespace, subject }) = Target::parse(word) else { return false };
    let typed = forward.target.rsplit('/').take(2).collect::<Vec<_>>();
    let plain = match typed.as_slice() {
        [name, kind] => format!("{kind}/{name}"),
        _ => return false,
    };
    subject.to_string() == plain && namespace.is_none_or(|namespace| namespace == forward.namespace)
}

fn ambiguous(word: &str, found: &[&PortForward]) -> Fatal {
    let list: Vec<_> = found.iter().map(|one| format!("{} ({})", one.id, describe(one))).collect();
    Fatal::new(
        "fwd::control::ambiguous",
        format!("{} forwards match '{word}', so none was stopped", found.len()),
    )
    .because(format!("they are {}", list.join(" and ")))
    .help("name the ones that you mean by their ids")
}

fn describe(forward: &PortForward) -> String {
    let context = forward.context.as_ref().map(|context| format!(" in {context}")).unwrap_or_default();
    format!("{} in namespace {}{context}", forward.target, forward.namespace)
}

fn unknown(word: &str, why: &str, all: &[PortForward]) -> Fatal {
    let fatal =
        Fatal::new("fwd::control::unknown", format!("no forward matches '{word}', so none was stopped"))
            .because(why);
    let mut names: Vec<String> = Vec::new();
    for one in all {
        names.extend([one.id.to_string(), one.target.clone()]);
        names.extend(one.label.clone());
        names.extend(one.local_port.map(|port| port.to_string()));
    }
    match nearest(word, names.iter().map(String::as_str)) {
        Some(near) => fatal.help(format!("did you mean '{near}'?")),
        None if all.is_empty() => fatal.help("no forwards are running"),
        None => fatal.help("all forwards: kubectl fwd list"),
    }
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;
    use crate::model::{forward::ForwardId, ports::RemotePort};

    fn forward(id: u64, namespace: &str, target: &str, local: u16, remote: &str) -> PortForward {
        let plain = target.strip_prefix("x/").unwrap_or(target);
        let (kind, name) = plain.split_once('/').unwrap_or(("selector", plain));
        let remote = remote.parse().map_or_else(|_| RemotePort::Name(remote.into()), RemotePort::Number);
        PortForward {
            id: ForwardId::from_bits(id),
            namespace: namespace.into(),
            local_port: Some(local),
            target: target.into(),
            ..PortForward::example(kind, name, remote)
        }
    }

    fn all() -> Vec<PortForward> {
        let db = forward(4, "x", "x/svc/db", 5432, "5432");
        vec![
            forward(0, "default", "svc/api", 8080, "80"),
            forward(1, "default", "svc/api", 9090, "metrics"),
            forward(2, "default", "svc/web", 3000, "http"),
            forward(3, "x", "svc/web", 3001, "http"),
            PortForward { label: Some("work".into()), ..db },
            PortForward { label: Some("work".into()), ..forward(5, "default", "pod/a", 3001, "80") },
            forward(6, "default", "-l app=web", 4000, "80"),
            PortForward {
                local: Some("unix:/s".into()),
                local_port: None,
                ..forward(7, "default", "pod/b", 0, "1")
            },
        ]
    }

    #[test]
    fn words() {
        let all = all();
        for (word, expected) in [
            ("aaaaaa", &[0][..]),
            ("8080", &[0]),
            ("svc/api", &[0, 1]),
            ("service/api", &[0, 1]),
            ("default/svc/api", &[0, 1]),
            ("svc/api:80", &[0]),
            ("svc/api:metrics", &[1]),
            ("x/svc/web", &[3]),
            ("svc/db", &[4]),
            ("x/svc/db", &[4]),
            ("x/services/db:5432", &[4]),
            ("work", &[4, 5]),
            ("a", &[5]),
            ("pod/a", &[5]),
            ("-l app=web", &[6]),
            ("unix:/s", &[7]),
        ] {
            let expected: Vec<_> = expected.iter().map(|bits| ForwardId::from_bits(*bits)).collect();
            let found = pick(word, &all).map(|found| found.iter().map(|one| one.id).collect::<Vec<_>>());
            assert_eq!(found, Ok(expected), "{word}");
        }
    }

    #[test]
    fn refusals() {
        let all = all();
        for (word, code, says) in [
            ("3001", "ambiguous", ""),
            ("svc/web", "ambiguous", ""),
            ("8081", "unknown", "did you mean '8080'?"),
            ("svc/apis", "unknown", "did you mean 'svc/api'?"),
            ("aaaaab", "unknown", "did you mean 'aaaaaa'?"),
            ("worc", "unknown", "did you mean 'work'?"),
            ("y/svc/api", "unknown", ""),
            ("svc/api:81", "unknown", ""),
            ("qqqqqqqqqqq", "unknown", "kubectl fwd list"),
            ("", "unknown", ""),
        ] {
            let fatal = pick(word, &all).expect_err(word);
            assert_eq!(fatal.code(), format!("fwd::control::{code}"), "{word}");
            assert!(fatal.to_string().contains("none was stopped"), "{word}");
            let help = Diagnostic::help(&fatal).map(|help| help.to_string()).unwrap_or_default();
            assert!(code == "ambiguous" || help.contains(says), "{word}: {help}");
        }
        let empty = pick("8080", &[]).expect_err("nothing is there");
        assert!(
            Diagnostic::help(&empty).is_some_and(|help| help.to_string().contains("no forwards are running"))
        );
    }
}
