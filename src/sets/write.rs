//! From a set to its text: for people first, who read it, change it and keep it with their project.

use std::{fmt::Write as _, time::Duration};

use super::{
    read::VERSION,
    set::{EntryOptions, ForwardSet, SetEntry},
};
use crate::{
    model::{ports::PortSpec, target::TargetRef},
    ui::escape,
};

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
#   allowUnready         true: forward to a pod that runs while none is ready (false)
#   retry                safe-http: send a GET, HEAD or OPTIONS request again whose connection to the pod is lost (none)
";

const FORWARDS: &str = "\
# Each has a target, [NAMESPACE/]TYPE/NAME (or a selector, app=web,tier!=cache), and ports,
# [[ADDRESS:]LOCAL:]REMOTE: LOCAL is a number, nothing for any free port, or unix:PATH; REMOTE a number or
# a port's name. It may have a name of its own, for list and stop, and any of the fields above.
";

/// Writes a set.
pub fn write(set: &ForwardSet) -> String {
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
    for SetEntry { target, ports, label, scope: own, .. } in &set.entries {
        let mut fields = String::new();
        match &target.subject {
            TargetRef::Selector(selector) => field(&mut fields, "selector", selector),
            TargetRef::Object(..) => field(&mut fields, "target", &target.to_string()),
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
fn common(entries: &[SetEntry]) -> EntryOptions {
    fn same<T: Clone + PartialEq>(
        entries: &[SetEntry],
        of: impl Fn(&EntryOptions) -> Option<&T>,
    ) -> Option<T> {
        let first = of(&entries.first()?.scope)?;
        entries.iter().all(|entry| of(&entry.scope) == Some(first)).then(|| first.clone())
    }
    EntryOptions {
        context: same(entries, |scope| scope.context.as_ref()),
        namespace: same(entries, |scope| scope.namespace.as_ref()),
        addresses: same(entries, |scope| scope.addresses.as_ref()),
        hold: same(entries, |scope| scope.hold.as_ref()),
        pod_running_timeout: same(entries, |scope| scope.pod_running_timeout.as_ref()),
        auto_port: same(entries, |scope| scope.auto_port.as_ref()),
        allow_unready: same(entries, |scope| scope.allow_unready.as_ref()),
        retry: same(entries, |scope| scope.retry.as_ref()),
    }
}

/// What of `own` `common` does not say for it.
fn without(own: &EntryOptions, common: &EntryOptions) -> EntryOptions {
    EntryOptions {
        context: own.context.clone().filter(|_| common.context.is_none()),
        namespace: own.namespace.clone().filter(|_| common.namespace.is_none()),
        addresses: own.addresses.clone().filter(|_| common.addresses.is_none()),
        hold: own.hold.filter(|_| common.hold.is_none()),
        pod_running_timeout: own.pod_running_timeout.filter(|_| common.pod_running_timeout.is_none()),
        auto_port: own.auto_port.filter(|_| common.auto_port.is_none()),
        allow_unready: own.allow_unready.filter(|_| common.allow_unready.is_none()),
        retry: own.retry.filter(|_| common.retry.is_none()),
    }
}

fn scope(out: &mut String, scope: &EntryOptions) {
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
    for (key, value) in [("autoPort", scope.auto_port), ("allowUnready", scope.allow_unready)] {
        if let Some(value) = value {
            let _ = writeln!(out, "{key}: {value}");
        }
    }
    if let Some(mode) = scope.retry {
        field(out, "retry", mode.word());
    }
}

/// With a colon it is a number of base 60 to old readers of YAML.
fn port(text: String) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) { text } else { quoted(&text) }
}

fn field(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key}: {}", scalar(value));
}

/// Words that mean something else than themselves to some reader of YAML, of this version or an older one: booleans, null
/// and numbers. In lower case.
const SPECIAL: [&str; 13] =
    ["true", "false", "null", "none", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// A text, in quotes wherever a reader of YAML, of this version or an older one, could take it for something else.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-=".contains(&b))
        && !SPECIAL.contains(&text.to_ascii_lowercase().as_str());
    // `30s` is no number to anybody.
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let duration = unit.len() < text.len() && UNITS.iter().any(|(_, name)| *name == unit);
    if plain || duration { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if escape::is_harmless(c) && !is_noncharacter(c) => out.push(c),
            // YAML takes nothing unescaped that is not printable, and a terminal may show the file.
            c => escape::push_yaml_escape(&mut out, c),
        }
    }
    out.push('"');
    out
}

fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe
}

/// Units of durations, by their nanoseconds, the largest first.
const UNITS: [(u128, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];

/// As [`crate::input::duration::parse`] reads it, in the largest unit that divides it.
fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let divides = |(size, _): &(u128, &str)| nanos.is_multiple_of(*size);
    let (size, unit) = UNITS.into_iter().find(divides).unwrap_or((1, "ns"));
    format!("{}{unit}", nanos / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a text is, it is read as that text: by this version's rules, and by those of older ones, to which `yes`
    /// is a boolean.
    #[test]
    fn texts_stay_texts() {
        let cases = |word: &str| {
            let mut first = word.to_ascii_uppercase();
            first.get_mut(1..).map(str::make_ascii_lowercase);
            [word.to_owned(), word.to_ascii_uppercase(), first]
        };
        let words = SPECIAL.iter().flat_map(|word| cases(word)).chain(
            [
                "~",
                "",
                " ",
                ".nan",
                ".inf",
                "-.inf",
                "+.INF",
                "0",
                "-1",
                "+1",
                "010",
                "0o7",
                "0x1f",
                "0b1",
                "1_000",
                "1e3",
                "1E-3",
                "1.5",
                "1.",
                ".5",
                "22:22",
                "190:20:30",
                "2001-01-01",
                "2001-01-01T00:00:00Z",
                "=",
                "<<",
                "-",
                "?",
                "---",
                "...",
                "a: b",
                "a #b",
                "#",
                "!x",
                "&x",
                "*x",
                "%x",
                "@x",
                "`x",
                "[a]",
                "{a}",
                "a,b",
                "'",
                "\"",
                "\\",
                "|",
                ">",
                "a\nb",
                "\t",
                "\u{1b}[2J",
                "\u{85}",
                "\u{202e}",
                "\u{feff}",
                "\u{fffe}",
                "\u{e0001}",
                "\u{1fffe}",
                "yess",
                "1s",
                "30s",
                "1e3s",
                "0x1s",
                "ü",
                "naïve",
            ]
            .map(str::to_owned),
        );
        for word in words {
            let text = format!("a: {}\n", scalar(&word));
            for strict_booleans in [true, false] {
                let options = serde_saphyr::options! { strict_booleans: strict_booleans };
                let read: serde_json::Value = serde_saphyr::from_str_with_options(&text, options)
                    .unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(read["a"], word, "{text}");
            }
            let special = SPECIAL.contains(&word.to_ascii_lowercase().as_str());
            assert!(!special || text.contains('"'), "{text}");
        }
    }
}
