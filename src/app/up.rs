//! `up`: from a set to what is to be forwarded.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    forward::ForwardPlan,
    manage::print_waiting,
    trust::{self, TrustQuestion},
};
use crate::{
    cli::{args, resolve::CommonOptions},
    error::Fatal,
    forward::{ForwardOptions, ForwardRequest, ForwardSpec},
    sets::{ReadSet, SetDocument, SetEntry, SetStore, WITHIN, read},
    system::wait_limit::WaitLimit,
};

/// The set of a project, in its directory.
const FILE: &str = "fwd.yaml";

/// Reads the set, and says what it wants. What is typed goes before what is written.
pub(super) fn work(
    up: &args::UpArgs,
    mut common: CommonOptions,
    sets: Option<&SetStore>,
) -> Result<ForwardPlan, Fatal> {
    let (document, directory) = document(up, &common, sets)?;
    let ReadSet { mut set, problems, unusable: spoilt } = read(&document.text);
    if problems.is_empty() || up.keep_going {
        trust::check(
            &TrustQuestion { set: &set, document: &document, directory: &directory },
            up,
            &common,
            sets,
        )?;
    }
    let mut left_out = None;
    if !problems.is_empty() {
        let may_go_on = !spoilt && !set.entries.is_empty();
        if !(may_go_on && up.keep_going) {
            let help = "'kubectl fwd up --schema' prints what a set holds";
            let more = if may_go_on { "; --keep-going starts the forwards without a problem" } else { "" };
            return Err(document.invalid(problems, "nothing is started").help(format!("{help}{more}")));
        }
        left_out = Some(document.invalid(problems, "these forwards are left out"));
    }
    if set.entries.is_empty() {
        return Err(Fatal::new("fwd::set::empty", format!("there is nothing to start in {}", document.name))
            .help("add forwards to it; 'kubectl fwd up --schema' prints what a set holds"));
    }
    let flags = &mut common.flags;
    if flags.kubeconfig.is_none() {
        flags.kubeconfig = set.kubeconfig.map(|path| directory.join(path));
    }
    let first = set.entries[0].scope.namespace.clone();
    let alike = set.entries.iter().all(|entry| entry.scope.namespace == first);
    match (&flags.namespace, alike) {
        (Some(_), _) => {}
        // A target is called what the file calls it, wherever that is clear.
        (None, true) => flags.namespace = first,
        (None, false) => {
            for SetEntry { target, scope, .. } in &mut set.entries {
                target.namespace = target.namespace.take().or_else(|| scope.namespace.clone());
            }
        }
    }
    let typed_context = flags.context.is_some();
    let wanted = set.entries.into_iter().map(|SetEntry { target, ports, label, scope, line }| {
        let origin = Some(format!("{}:{line}", document.name));
        let defaults = ForwardOptions::default();
        let options = ForwardOptions {
            hold: scope.hold.unwrap_or(defaults.hold),
            pod_running_timeout: scope.pod_running_timeout.unwrap_or(defaults.pod_running_timeout),
            auto_port: scope.auto_port.unwrap_or(defaults.auto_port),
            give_up: up.give_up,
            allow_unready: scope.allow_unready.unwrap_or(defaults.allow_unready),
            addresses: scope.addresses.unwrap_or(defaults.addresses),
            replace: up.replace,
        };
        let context = scope.context.filter(|_| !typed_context);
        ForwardSpec { request: ForwardRequest { target, ports }, options, context, label, origin }
    });
    let ready_file = up.ready_file.clone().map(PathBuf::from);
    Ok(ForwardPlan {
        wanted: wanted.collect(),
        common,
        keep_going: up.keep_going,
        skipped: left_out,
        ready_file,
    })
}

/// Asks for what a set needs the user's consent to, ahead of the process in the background, which has nobody to ask.
/// Says whether it has given that. A set that can be read only once is left to the other process.
pub(super) fn consent(
    up: &args::UpArgs,
    common: &CommonOptions,
    sets: Option<&SetStore>,
) -> Result<bool, Fatal> {
    let file = up.file.as_deref().unwrap_or(FILE);
    if up.set.is_some() || !Path::new(file).is_file() {
        return Ok(false);
    }
    let (document, directory) = document(up, common, sets)?;
    let ReadSet { set, problems, .. } = read(&document.text);
    if !problems.is_empty() && !up.keep_going {
        // The other process tells them.
        return Ok(false);
    }
    let asked = TrustQuestion { set: &set, document: &document, directory: &directory };
    trust::check(&asked, up, common, sets)
}

/// The text of the set, and the directory that its paths start from.
fn document(
    up: &args::UpArgs,
    common: &CommonOptions,
    sets: Option<&SetStore>,
) -> Result<(SetDocument, PathBuf), Fatal> {
    let directory = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let limit = WaitLimit::new(WITHIN);
    let notify = |name: &str| print_waiting(&format!("the end of {name}"), common);
    let open = |path: &Path| SetDocument::open(path, limit, || notify(&path.display().to_string()));
    match (&up.set, &up.file) {
        (Some(_), Some(_)) => {
            Err(Fatal::new("fwd::usage::arguments", "there are both the name of a set and a file")
                .help("leave one of them out"))
        }
        (None, Some(_)) if up.reads_stdin() => {
            let name = "stdin".to_owned();
            SetDocument::from_reader(name, io::stdin(), limit, || notify("stdin, a set of forwards"))
                .map(|text| (text, PathBuf::new()))
        }
        (None, Some(file)) => open(Path::new(file)).map(|text| (text, directory(Path::new(file)))),
        (Some(name), None) => {
            let sets = sets.ok_or_else(no_config_directory)?;
            Ok((sets.load(name)?, directory(&sets.path(name)?)))
        }
        (None, None) if Path::new(FILE).exists() => open(Path::new(FILE)).map(|text| (text, PathBuf::new())),
        (None, None) => {
            let names = sets.map(SetStore::names).unwrap_or_default();
            let fatal = Fatal::new("fwd::set::none", "there is nothing to start")
                .because(format!("no set is named, and there is no {FILE} in this directory"));
            Err(match names.as_slice() {
                [] => fatal.help("'kubectl fwd save NAME' makes a set of the forwards that run"),
                names => fatal.help(format!("name one that is saved: {}", names.join(", "))),
            })
        }
    }
}

/// There is no place where saved sets could be.
pub(super) fn no_config_directory() -> Fatal {
    Fatal::new("fwd::set::no_home", "there is not a directory for saved sets")
        .because("the home directory of this user is not known")
        .help("set HOME (on Windows APPDATA), or use a file: -f FILE")
}
