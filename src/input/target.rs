//! Targets, label selectors and the names of objects.

use std::str::FromStr;

use crate::{
    error::Fatal,
    model::target::{Kind, Target, TargetError, TargetRef},
    policy::nearest::nearest,
};

/// What is said where no kind of object will do: there is another way to name pods.
pub const ANY_POD: &str = "a label selector reaches any pod";

/// Reads one target: `NAME` (a pod), `TYPE/NAME` or `NAMESPACE/TYPE/NAME`.
pub fn target(text: &str) -> Result<Target, Fatal> {
    let target = Target::parse(text).map_err(|error| {
        let fatal = Fatal::new("fwd::usage::bad_target", error.to_string());
        match &error {
            TargetError::UnknownKind { word } => unknown_kind(word),
            TargetError::Empty(_) | TargetError::TooManyParts(_) => {
                fatal.help("a target is NAME (a pod), TYPE/NAME or NAMESPACE/TYPE/NAME")
            }
        }
    })?;
    if let TargetRef::Object(_, name) = &target.subject {
        object_name("name", name)?;
    }
    if let Some(namespace) = &target.namespace {
        object_name("namespace", namespace)?;
    }
    Ok(target)
}

/// Reads `NAME` (a pod), `TYPE/NAME` or `NAMESPACE/TYPE/NAME`.
impl FromStr for Target {
    type Err = Fatal;

    fn from_str(text: &str) -> Result<Self, Fatal> {
        target(text)
    }
}

/// Refuses what cannot name an object, before it becomes part of a URL.
pub fn object_name(noun: &str, name: &str) -> Result<(), Fatal> {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let inside = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if inside && alphanumeric(bytes.first()) && alphanumeric(bytes.last()) {
        return Ok(());
    }
    Err(Fatal::new("fwd::usage::bad_name", format!("'{name}' cannot be a {noun} in Kubernetes"))
        .help("a name is letters, digits, '-' and '.', and begins and ends with a letter or digit"))
}

fn unknown_kind(word: &str) -> Fatal {
    let fatal = Fatal::new(
        "fwd::usage::unknown_kind",
        format!("'{word}' is not a type of object that can be forwarded to"),
    );
    let lower = word.to_ascii_lowercase();
    let spellings = Kind::all().flat_map(|kind| [kind.short(), kind.singular(), kind.plural()]);
    if let Some(near) = nearest(&lower, spellings) {
        return fatal.help(format!("did you mean '{near}'?"));
    }
    let all: Vec<_> = Kind::all().map(Kind::short).collect();
    fatal.help(format!("the types are {}; {ANY_POD}", all.join(", ")))
}

/// Reads a label selector, as far as it can be read without the cluster.
pub fn selector(text: &str) -> Result<Target, Fatal> {
    if text.trim().is_empty() {
        return Err(Fatal::new("fwd::usage::bad_selector", "the label selector is empty")
            .because("it would match every pod of the namespace")
            .help("for example app=web"));
    }
    Ok(Target { namespace: None, subject: TargetRef::Selector(text.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other programs and files are told as well says nothing of a command line.
    #[test]
    fn no_word_of_a_command_line() {
        for refused in
            [target("cronjob/x"), target("svc/api:80"), target("a/svc/b/c"), target("svc/"), selector(" ")]
        {
            let fatal = refused.expect_err("it is no target");
            let help = fatal.advice().expect("there is something to do about it");
            assert!(!help.contains("kubectl") && !help.contains(" -"), "{help}");
        }
    }
}
