//! From the text of a set to what it means, or to everything that is wrong with it.
//!
//! A file is written by hand, so all its problems are found in one reading, each with its place. Those inside an entry
//! spoil that entry alone; one outside, such as a misspelt `context`, could send every forward elsewhere, and spoils
//! the set.

use super::{
    limits::MAX_FORWARDS,
    set::{EntryOptions, ForwardSet, SetEntry},
    yaml::{self, Span, SpannedNode, SpannedValue},
};
use crate::{
    error::{Fatal, Problem},
    input::{
        address::addresses,
        duration,
        label::label,
        local::{PortClaims, local_end},
        retry::retry_mode,
        target::{object_name, selector, target},
    },
    model::ports::{Address, PortSpec},
    policy::nearest::nearest,
};

/// The only version of the format so far.
pub(super) const VERSION: &str = "1";

/// The keys of the file itself.
pub(super) const SET_KEYS: [&str; 4] = ["version", "auto", "kubeconfig", "forwards"];
/// The keys of an entry alone.
pub(super) const ENTRY_KEYS: [&str; 4] = ["target", "selector", "ports", "name"];
/// The keys of both: defaults in the file, exceptions in an entry.
pub(super) const SCOPE_KEYS: [&str; 8] =
    ["context", "namespace", "address", "hold", "podRunningTimeout", "autoPort", "allowUnready", "retry"];

/// What came of a text.
#[derive(Debug, Clone, Default)]
pub struct ReadSet {
    /// The entries without a problem.
    pub set: ForwardSet,
    /// Every problem, in the order of the text.
    pub problems: Vec<Problem>,
    /// One of them concerns the set as a whole.
    pub unusable: bool,
}

/// Reads a set.
pub fn read(text: &str) -> ReadSet {
    let mut reader = SetReader::default();
    // An editor's mark at the beginning of a file is no part of it.
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut set = ForwardSet::default();
    match yaml::parse(bare) {
        Ok(root) => set = reader.set(root),
        Err(place) => reader.problems.push(place),
    }
    let spoilt = reader.problems.len() > reader.in_entries;
    let mut problems = reader.problems;
    for place in &mut problems {
        place.offset += text.len() - bare.len();
    }
    problems.sort_by_key(|place| place.offset);
    ReadSet { set, problems, unusable: spoilt }
}

/// Collects what is wrong.
#[derive(Default)]
struct SetReader {
    problems: Vec<Problem>,
    /// How many of them lie inside an entry.
    in_entries: usize,
}

/// A map taken apart: each key that was expected, once.
struct MapFields(Vec<(&'static str, SpannedNode)>);

impl MapFields {
    fn take(&mut self, name: &str) -> Option<SpannedNode> {
        let at = self.0.iter().position(|(key, _)| *key == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

impl SetReader {
    fn problem(&mut self, span: Span, what: impl Into<String>, help: impl Into<String>) {
        self.problems.push(span.place(what).help(help));
    }

    fn set(&mut self, root: SpannedNode) -> ForwardSet {
        let span = root.span;
        if matches!(root.value, SpannedValue::Null) {
            self.problem(span, "the set is empty", "add 'forwards', a list");
            return ForwardSet::default();
        }
        let Some(mut fields) = self.fields(root, "a set", &[&SET_KEYS, &SCOPE_KEYS]) else {
            return ForwardSet::default();
        };
        if let Some((version, at)) = fields.take("version").and_then(|node| self.text(node, "version"))
            && version != VERSION
        {
            self.problem(
                at,
                format!("version {version} is not known"),
                format!("this program reads version {VERSION}"),
            );
        }
        let auto = fields.take("auto").and_then(|node| self.switch(&node, "auto")).unwrap_or_default();
        let kubeconfig = fields.take("kubeconfig").and_then(|node| self.text(node, "kubeconfig"));
        let list = fields.take("forwards");
        let defaults = self.scope(&mut fields);
        let items = match list {
            Some(SpannedNode { value: SpannedValue::List(items), .. }) => items,
            // What `save --auto` leaves behind the last forward.
            Some(SpannedNode { value: SpannedValue::Null, .. }) if auto => Vec::new(),
            Some(node) => {
                self.problem(node.span, "'forwards' must be a list", "start each forward with '- target: '");
                Vec::new()
            }
            None => {
                self.problem(
                    span,
                    "'forwards' is missing",
                    "add a list of them: forwards: [{target: svc/api, ports: 8080:80}]",
                );
                Vec::new()
            }
        };
        let (outside, listed) = (self.problems.len(), items.len());
        // What is too much is not looked at any further.
        let items = if listed > MAX_FORWARDS { Vec::new() } else { items };
        let (mut entries, mut taken, mut forwards) = (Vec::new(), PortClaims::default(), 0);
        for item in items {
            let (span, before) = (item.span, self.problems.len());
            let entry = self.entry(item, &defaults).filter(|_| self.problems.len() == before);
            let Some(entry) = entry.filter(|entry| self.is_free(entry, &mut taken, span)) else { continue };
            forwards += entry.ports.len();
            entries.push(entry);
        }
        self.in_entries = self.problems.len() - outside;
        let forwards = listed.max(forwards);
        if forwards > MAX_FORWARDS {
            let what = format!("it has {forwards} forwards; a set can have {MAX_FORWARDS} at most");
            self.problem(span, what, "split it into several sets");
        }
        ForwardSet { auto, kubeconfig: kubeconfig.map(|(path, _)| path.into()), entries }
    }

    fn entry(&mut self, item: SpannedNode, defaults: &EntryOptions) -> Option<SetEntry> {
        let span = item.span;
        let mut fields = self.fields(item, "a forward", &[&ENTRY_KEYS, &SCOPE_KEYS])?;
        let target = match (fields.take("target"), fields.take("selector")) {
            (Some(node), None) => {
                let typed = self.text(node, "target");
                typed.and_then(|(text, at)| self.checked(at, target(&text)))
            }
            (None, Some(node)) => {
                let typed = self.text(node, "selector");
                typed.and_then(|(text, at)| self.checked(at, selector(&text)))
            }
            (Some(_), Some(node)) => {
                self.problem(
                    node.span,
                    "a forward has either 'target' or 'selector', not both",
                    "leave one of them out",
                );
                None
            }
            (None, None) => {
                let help = "for example target: svc/api";
                self.problem(span, "'target' or 'selector' is missing", help);
                None
            }
        };
        let ports = fields.take("ports").map(|node| self.ports(node));
        if ports.is_none() {
            self.problem(span, "'ports' is missing", "for example ports: 8080:80");
        }
        let label = fields
            .take("name")
            .and_then(|node| self.text(node, "name"))
            .and_then(|(text, at)| self.checked(at, label(&text)));
        let scope = self.scope(&mut fields).or(defaults);
        Some(SetEntry { target: target?, ports: ports?, label, scope, line: span.line })
    }

    fn ports(&mut self, node: SpannedNode) -> Vec<PortSpec> {
        let span = node.span;
        let items = Self::one_or_more(node);
        if items.is_empty() {
            self.problem(span, "'ports' is empty", "for example ports: 8080:80");
        }
        let mut ports = Vec::new();
        for item in items {
            let Some((text, at)) = self.text(item, "a port") else { continue };
            match PortSpec::parse(&text) {
                Ok(port) => ports.push(port),
                Err(error) => self.problem(
                    at,
                    error.to_string(),
                    "write a port as REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080:80",
                ),
            }
        }
        ports
    }

    fn scope(&mut self, fields: &mut MapFields) -> EntryOptions {
        let mut text = |name| fields.take(name).and_then(|node| self.text(node, name));
        let (context, namespace) = (text("context"), text("namespace"));
        let (hold, timeout) = (text("hold"), text("podRunningTimeout"));
        let retry = text("retry").and_then(|(text, at)| self.checked(at, retry_mode(&text)));
        let namespace = namespace.and_then(|(text, at)| {
            let good = object_name("namespace", &text).map(|()| text.clone());
            self.checked(at, good)
        });
        let addresses = fields.take("address").map(|node| {
            let mut typed = Vec::new();
            let span = node.span;
            for item in Self::one_or_more(node) {
                typed.extend(self.text(item, "address").map(|(text, _)| text));
            }
            self.checked(span, addresses(&typed))
        });
        let mut span_of_time = |name: &str, found: Option<(String, Span)>, least: Option<&str>| {
            let (text, at) = found?;
            let why = match duration::parse(&text) {
                Ok(time) if time.is_zero() && least.is_some() => least.unwrap_or_default().to_owned(),
                Ok(time) => return Some(time),
                Err(error) => error.to_string(),
            };
            self.problem(
                at,
                format!("'{text}' is not a duration: {why}"),
                format!("for example {name}: 1m30s"),
            );
            None
        };
        EntryOptions {
            hold: span_of_time("hold", hold, None),
            pod_running_timeout: span_of_time(
                "podRunningTimeout",
                timeout,
                Some("it has to be more than zero"),
            ),
            auto_port: fields.take("autoPort").and_then(|node| self.switch(&node, "autoPort")),
            allow_unready: fields.take("allowUnready").and_then(|node| self.switch(&node, "allowUnready")),
            retry,
            context: context.map(|(text, _)| text),
            namespace,
            addresses: addresses.flatten(),
        }
    }

    /// Refuses an entry that wants a local address which one before it, or itself, wants already.
    fn is_free(&mut self, entry: &SetEntry, taken: &mut PortClaims<usize>, span: Span) -> bool {
        let default = [Address::Localhost];
        let addresses = entry.scope.addresses.as_deref().unwrap_or(&default);
        for port in &entry.ports {
            if let Some(line) = taken.claim(port, addresses, &entry.line) {
                let what = format!("{} is used twice, here and in line {line}", local_end(port));
                self.problem(span, what, "give one of them another local port, as in 8081:80");
                return false;
            }
        }
        true
    }

    /// The pairs of a map whose keys are known; tells of all others.
    fn fields(&mut self, node: SpannedNode, what: &str, known: &[&[&'static str]]) -> Option<MapFields> {
        let SpannedValue::Map(pairs) = node.value else {
            self.problem(node.span, format!("{what} must be a mapping"), "write lines of 'key: value'");
            return None;
        };
        let known = || known.iter().copied().flatten().copied();
        let mut fields: Vec<(&'static str, SpannedNode)> = Vec::new();
        for (key, value) in pairs {
            match known().find(|name| *name == key.name) {
                Some(name) if fields.iter().any(|(other, _)| *other == name) => {
                    self.problem(key.span, format!("'{name}' is given twice"), "leave one of them out");
                }
                // A key without a value says nothing.
                Some(name) if matches!(value.value, SpannedValue::Null) && name != "forwards" => {}
                Some(name) => fields.push((name, value)),
                None => {
                    let help = match nearest(&key.name, known()) {
                        Some(near) => format!("did you mean '{near}'?"),
                        None => format!("the keys of {what} are {}", known().collect::<Vec<_>>().join(", ")),
                    };
                    self.problem(key.span, format!("'{}' is not a key of {what}", key.name), help);
                }
            }
        }
        Some(MapFields(fields))
    }

    fn text(&mut self, node: SpannedNode, what: &str) -> Option<(String, Span)> {
        match node.value {
            SpannedValue::Scalar(text) => Some((text, node.span)),
            SpannedValue::Bool(value) => Some((value.to_string(), node.span)),
            SpannedValue::Null | SpannedValue::List(_) | SpannedValue::Map(_) => {
                self.problem(
                    node.span,
                    format!("{what} must be text"),
                    "write it on one line, in quotes if needed",
                );
                None
            }
        }
    }

    fn switch(&mut self, node: &SpannedNode, what: &str) -> Option<bool> {
        let SpannedValue::Bool(value) = node.value else {
            self.problem(
                node.span,
                format!("{what} must be true or false"),
                format!("for example {what}: true"),
            );
            return None;
        };
        Some(value)
    }

    fn one_or_more(node: SpannedNode) -> Vec<SpannedNode> {
        match node.value {
            SpannedValue::List(items) => items,
            _ => vec![node],
        }
    }

    /// An error from where the same is read off the command line, told with its place.
    fn checked<T>(&mut self, span: Span, outcome: Result<T, Fatal>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(fatal) => {
                let what = std::iter::once(fatal.to_string()).chain(fatal.causes().map(str::to_owned));
                let mut place = span.place(what.collect::<Vec<_>>().join(": "));
                place.help = fatal.advice().map(str::to_owned);
                self.problems.push(place);
                None
            }
        }
    }
}
