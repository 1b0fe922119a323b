//! From a set to its text: for people first, who read it, change it and keep it with their project.

use std::{fmt::Write as _, time::Duration};

use super::{
    read::VERSION,
    set::{Entry, Scope, Set},
};
use crate::model::{ports::PortSpec, target::Subject};

const HEAD: &str = "\
# Forwards that are started together:  kubectl fwd up NAME, or kubectl fwd up -f FILE
# The schema, for an editor that checks and completes:  kubectl fwd up --schema
";

const AUTO: &str = "\
# This set is kept current: forwards that start are added, those that are stopped are removed.
# Your changes to it are kept, your comments are not. Without this line it stays as it is.
auto: true
";

const KUBECONFIG: &str = "\
# The kubeconfig that has the contexts, relative to this file.
";

const DEFAULTS: &str = "\
# What holds for every forward that does not say otherwise:
#   context, namespace   where its target is (as kubectl has them)
#   address              where it listens (localhost)
#   hold                 how long a connection waits for a ready pod (30s)
#   podRunningTimeout    how long the start waits for one (1m)
#   autoPort             true: use the next free local port where the wanted one is taken (false)
";

const FORWARDS: &str = "\
# Each has a target, [NAMESPACE/]TYPE/NAME (or a selector, app=web,tier!=cache), and ports,
# [[ADDRESS:]LOCAL:]REMOTE: LOCAL is a number, nothing for any free port, or unix:PATH; REMOTE a number or
# a port's name. It may have a name of its own, for list and stop, and any of the fields above.
";

/// Writes a set.
pub fn write(set: &Set) -> String {
    let common = common(&set.entries);
    let mut out = format!("{HEAD}version: {VERSION}\n");
    if set.auto {
        let _ = write!(out, "\n{AUTO}");
    }
    if let Some(path) = &set.kubeconfig {
        let _ = write!(out, "\n{KUBECONFIG}");
        field(&mut out, "kubeconfig", &path.display().to_string());
    }
    let _ = write!(out, "\n{DEFAULTS}");
    scope(&mut out, &common);
    let _ = write!(out, "\n{FORWARDS}");
    if set.entries.is_empty() {
        out.push_str("forwards: []\n");
        return out;
    }
    out.push_str("forwards:\n");
    for Entry { target, ports, label, scope: own, .. } in &set.entries {
        let mut fields = String::new();
        match &target.subject {
            Subject::Selector(selector) => field(&mut fields, "selector", selector),
            Subject::Object(..) => field(&mut fields, "target", &target.to_string()),
        }
        let ports: Vec<_> = ports.iter().map(PortSpec::to_string).map(port).collect();
        let _ = match ports.as_slice() {
            [port] => writeln!(fields, "ports: {port}"),
            ports => writeln!(fields, "ports: [{}]", ports.join(", ")),
        };
        if let Some(label) = label {
            field(&mut fields, "name", label);
        }
        scope(&mut fields, &without(own, &common));
        for (at, line) in fields.lines().enumerate() {
            let _ = writeln!(out, "  {} {line}", if at == 0 { "-" } else { " " });
        }
    }
    out
}

/// What all entries say alike.
fn common(entries: &[Entry]) -> Scope {
    fn same<T: Clone + PartialEq>(entries: &[Entry], of: impl Fn(&Scope) -> Option<&T>) -> Option<T> {
        let first = of(&entries.first()?.scope)?;
        entries.iter().all(|entry| of(&entry.scope) == Some(first)).then(|| first.clone())
    }
    Scope {
        context: same(entries, |scope| scope.context.as_ref()),
        namespace: same(entries, |scope| scope.namespace.as_ref()),
        addresses: same(entries, |scope| scope.addresses.as_ref()),
        hold: same(entries, |scope| scope.hold.as_ref()),
        pod_running_timeout: same(entries, |scope| scope.pod_running_timeout.as_ref()),
        auto_port: same(entries, |scope| scope.auto_port.as_ref()),
    }
}

/// What of `own` `common` does not say for it.
fn without(own: &Scope, common: &Scope) -> Scope {
    Scope {
        context: own.context.clone().filter(|_| common.context.is_none()),
        namespace: own.namespace.clone().filter(|_| common.namespace.is_none()),
        addresses: own.addresses.clone().filter(|_| common.addresses.is_none()),
        hold: own.hold.filter(|_| common.hold.is_none()),
        pod_running_timeout: own.pod_running_timeout.filter(|_| common.pod_running_timeout.is_none()),
        auto_port: own.auto_port.filter(|_| common.auto_port.is_none()),
    }
}

fn scope(out: &mut String, scope: &Scope) {
    let addresses = scope.addresses.as_ref().map(|all| {
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        all.join(",")
    });
    for (key, value) in [
        ("context", &scope.context),
        ("namespace", &scope.namespace),
        ("address", &addresses),
        ("hold", &scope.hold.map(duration)),
        ("podRunningTimeout", &scope.pod_running_timeout.map(duration)),
    ] {
        if let Some(value) = value {
            field(out, key, value);
        }
    }
    if let Some(auto_port) = scope.auto_port {
        let _ = writeln!(out, "autoPort: {auto_port}");
    }
}

/// With a colon it is a number of base 60 to old readers of YAML.
fn port(text: String) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) { text } else { quoted(&text) }
}

fn field(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key}: {}", scalar(value));
}

/// A text, in quotes wherever a reader of YAML, of this version or an older one, could take it for something else.
fn scalar(text: &str) -> String {
    const OTHERS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-=".contains(&b))
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str());
    // `30s` is no number to anybody.
    let duration = text.ends_with('s') && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain || duration { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Beyond these YAML takes nothing unescaped that is not printable.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// As [`crate::cli::duration::parse`] reads it, in the largest unit that divides it.
fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (count, unit) = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")]
        .into_iter()
        .find(|(size, _)| nanos.is_multiple_of(*size))
        .map_or((nanos, "ns"), |(size, unit)| (nanos / size, unit));
    format!("{count}{unit}")
}
