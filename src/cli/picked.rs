//! The command line that does what was picked: the flags that were typed, and the targets and ports.

use std::{ffi::OsString, iter};

use argh::{ArgsInfo as _, FlagInfoKind};

use super::{
    args::{Args, NAME},
    normalise::{Normalised, NormalisedArgs, normalise},
    subcommands::Subcommand,
};
use crate::{
    cluster::config::flags::shell_word,
    error::Fatal,
    ui::{
        escape,
        picker::effect::{PickedForwards, PickerPlace},
    },
};

const NAMESPACE: &str = "--namespace";
const CONTEXT: &str = "--context";
/// Flags whose values are for nobody to read.
const SECRET: [&str; 2] = ["--token", "--password"];
const SERVER: &str = "--server";

/// The command line.
pub struct PickedLine {
    /// Its words, the program's name left out.
    pub argv: Vec<OsString>,
    /// What a person would type. Secrets are left out.
    pub shown: String,
}

/// A flag with its value, if it takes one.
type TypedFlag = (String, Option<String>);

impl PickedLine {
    /// What was typed before, `argv`, with what was picked.
    pub fn new(argv: &[OsString], picked: &PickedForwards) -> Result<Self, Fatal> {
        let Normalised::Run(NormalisedArgs { argv: typed, rest, .. }) =
            normalise(argv, &Args::get_args_info(), &Subcommand::get_subcommands())?
        else {
            return Err(Fatal::new("fwd::usage::arguments", "nothing can be forwarded by a call for help"));
        };
        let flags = in_place(flags(typed), &picked.place);
        let words: Vec<String> = picked
            .requests
            .iter()
            .flat_map(|request| {
                let ports = request.ports.iter().map(ToString::to_string);
                iter::once(request.target.to_string()).chain(ports).collect::<Vec<_>>()
            })
            .collect();
        let shown = flags.iter().filter(|flag| !is_secret(flag)).map(shown).chain(words.iter().cloned());
        let command = rest.iter().map(|word| shell_word(&word.to_string_lossy()).into_owned());
        let dashes = (!rest.is_empty()).then(|| "--".to_owned());
        let shown: Vec<String> =
            iter::once(NAME.to_owned()).chain(shown).chain(dashes.clone()).chain(command).collect();
        let flags = flags.into_iter().flat_map(|(flag, value)| iter::once(flag).chain(value));
        let argv = flags.chain(words).chain(dashes).map(OsString::from).chain(rest);
        Ok(Self { argv: argv.collect(), shown: escape::line(&shown.join(" ")).into_owned() })
    }
}

/// The flags of words in argh's order, each with its value.
fn flags(words: Vec<String>) -> Vec<TypedFlag> {
    let info = Args::get_args_info();
    let takes_value = |flag: &str| {
        info.flags.iter().any(|one| one.long == flag && !matches!(one.kind, FlagInfoKind::Switch))
    };
    let mut words = words.into_iter().take_while(|word| word != "--");
    let mut flags = Vec::new();
    while let Some(flag) = words.next() {
        let value = if takes_value(&flag) { words.next() } else { None };
        flags.push((flag, value));
    }
    flags
}

/// The flags, with another place than was typed where another was chosen.
fn in_place(flags: Vec<TypedFlag>, place: &PickerPlace) -> Vec<TypedFlag> {
    let replaced = |flag: &str| match flag {
        CONTEXT => place.context.is_some(),
        // A namespace belongs to its context.
        NAMESPACE => place.namespace.is_some() || place.context.is_some(),
        _ => false,
    };
    let chosen = [(CONTEXT, &place.context), (NAMESPACE, &place.namespace)];
    let chosen = chosen.into_iter().filter_map(|(flag, name)| Some((flag.to_owned(), Some(name.clone()?))));
    chosen.chain(flags.into_iter().filter(|(flag, _)| !replaced(flag))).collect()
}

/// Whether a flag holds what is for nobody to read. A user may stand in a server's URL, with a password.
fn is_secret((flag, value): &TypedFlag) -> bool {
    let has_user = flag == SERVER && value.as_ref().is_some_and(|value| value.contains('@'));
    SECRET.contains(&flag.as_str()) || has_user
}

fn shown((flag, value): &TypedFlag) -> String {
    let flag = if flag == NAMESPACE { "-n" } else { flag };
    value.as_ref().map_or_else(|| flag.to_owned(), |value| format!("{flag} {}", shell_word(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::ForwardRequest;

    fn picked(typed: &str, place: PickerPlace) -> (String, String) {
        let argv: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        let request = |target: &str, ports: &[&str]| ForwardRequest {
            target: target.parse().unwrap(),
            ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        };
        let requests = vec![request("svc/api", &["8080:80", ":http"]), request("pod/solo", &["8080"])];
        let line = PickedLine::new(&argv, &PickedForwards { place, namespace: None, requests })
            .unwrap_or_else(|fatal| panic!("{fatal}"));
        let words: Vec<_> = line.argv.iter().map(|word| word.to_string_lossy()).collect();
        (line.shown, words.join(" "))
    }

    #[test]
    fn what_is_typed_to_do_the_same() {
        const WORDS: &str = "svc/api 8080:80 :http pod/solo 8080";
        let here = PickerPlace::default();
        let shop = PickerPlace { namespace: Some("shop".to_owned()), ..here.clone() };
        let prod = PickerPlace { context: Some("the prod".to_owned()), namespace: None };
        for (typed, place, shown, argv) in [
            ("", &here, "", ""),
            (
                "-n=shop --hold 5s -d",
                &here,
                "-n shop --hold 5s --detach ",
                "--namespace shop --hold 5s --detach ",
            ),
            ("-nold", &shop, "-n shop ", "--namespace shop "),
            ("-nold --context x", &prod, "--context 'the prod' ", "--context the prod "),
            ("--token t -q --password p", &here, "--quiet ", "--token t --quiet --password p "),
            ("-s https://u:p@host", &here, "", "--server https://u:p@host "),
        ] {
            let expected = (format!("kubectl fwd {shown}{WORDS}"), format!("{argv}{WORDS}"));
            assert_eq!(picked(typed, place.clone()), expected, "{typed}");
        }
        let (shown, argv) = picked("-- psql -h {host}", here);
        assert_eq!(shown, format!("kubectl fwd {WORDS} -- psql -h '{{host}}'"));
        assert!(argv.ends_with("-- psql -h {host}"));
    }
}
