//! `up`: from a set to what is to be forwarded.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    forward::{ForwardPlan, PlannedSet},
    lifecycle::no_config_directory,
    manage::print_waiting,
    trust::{self, TrustQuestion},
};
use crate::{
    cli::{beside::BesideOptions, resolve::CommonOptions, subcommands},
    error::Fatal,
    forward::{ForwardOptions, ForwardRequest, ForwardSpec},
    sets::{ForwardSet, ReadSet, SetDocument, SetEntry, SetStore, WITHIN, read},
    system::wait_limit::WaitLimit,
};

/// The set of a project, in its directory.
pub(super) const FILE: &str = "fwd.yaml";

/// The text of a set, and the directory that its paths start from.
pub(super) struct SetSource {
    pub document: SetDocument,
    pub directory: PathBuf,
    /// What it was saved as.
    name: Option<String>,
}

/// Reads the set, and says what it wants. What is typed goes before what is written.
pub(super) fn work(
    up: &subcommands::UpArgs,
    mut common: CommonOptions,
    beside: BesideOptions,
    sets: Option<&SetStore>,
) -> Result<ForwardPlan, Fatal> {
    let source = SetSource::of(up, &common, sets)?;
    let document = &source.document;
    let ReadSet { set, problems, unusable: spoilt } = read(&document.text);
    if problems.is_empty() || up.keep_going {
        let question = TrustQuestion { set: &set, document, directory: &source.directory };
        trust::check(&question, up, &common, sets)?;
    }
    let mut left_out = None;
    if !problems.is_empty() {
        let may_go_on = !spoilt && !set.entries.is_empty();
        if !(may_go_on && up.keep_going) {
            let help = "to see what a set holds, run: kubectl fwd up --schema";
            let more =
                if may_go_on { "\nto start the other forwards all the same, add --keep-going" } else { "" };
            return Err(document.invalid(problems, "nothing is started").help(format!("{help}{more}")));
        }
        left_out = Some(document.invalid(problems, "these forwards are left out"));
    }
    if set.entries.is_empty() {
        return Err(Fatal::new("fwd::set::empty", format!("{} has no forwards", document.name))
            .help("add some to it; to see what a set holds, run: kubectl fwd up --schema"));
    }
    let wanted = wanted(set, &source, &mut common, up);
    let set = Some(PlannedSet { name: source.name(), words: source.words() });
    let (keep_going, added) = (up.keep_going, ForwardOptions::default());
    Ok(ForwardPlan { wanted, common, keep_going, skipped: left_out, beside, added, set })
}

/// What a set wants to have forwarded. Where it leads is added to the flags, as far as they do not say.
pub(super) fn wanted(
    mut set: ForwardSet,
    source: &SetSource,
    common: &mut CommonOptions,
    up: &subcommands::UpArgs,
) -> Vec<ForwardSpec> {
    let flags = &mut common.flags;
    if flags.kubeconfig.is_none() {
        flags.kubeconfig = set.kubeconfig.map(|path| source.directory.join(path));
    }
    let first = set.entries.first().and_then(|entry| entry.scope.namespace.clone());
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
        let defaults = ForwardOptions::default();
        let options = ForwardOptions {
            hold: scope.hold.unwrap_or(defaults.hold),
            pod_running_timeout: scope.pod_running_timeout.unwrap_or(defaults.pod_running_timeout),
            auto_port: scope.auto_port.unwrap_or(defaults.auto_port),
            give_up: up.give_up,
            allow_unready: scope.allow_unready.unwrap_or(defaults.allow_unready),
            addresses: scope.addresses.unwrap_or(defaults.addresses),
            replace: up.replace,
            retry: scope.retry.unwrap_or(defaults.retry),
        };
        let context = scope.context.filter(|_| !typed_context);
        let origin = Some(source.place(line));
        ForwardSpec { request: ForwardRequest { target, ports }, options, context, label, origin }
    });
    wanted.collect()
}

/// Asks for what a set needs the user's consent to, ahead of the process in the background, which has nobody to ask.
/// Says whether it has given that. A set that can be read only once is left to the other process.
pub(super) fn consent(
    up: &subcommands::UpArgs,
    common: &CommonOptions,
    sets: Option<&SetStore>,
) -> Result<bool, Fatal> {
    let file = up.file.as_deref().unwrap_or(FILE);
    if up.set.is_some() || !Path::new(file).is_file() {
        return Ok(false);
    }
    let source = SetSource::of(up, common, sets)?;
    let ReadSet { set, problems, .. } = read(&source.document.text);
    if !problems.is_empty() && !up.keep_going {
        // The other process tells them.
        return Ok(false);
    }
    let asked = TrustQuestion { set: &set, document: &source.document, directory: &source.directory };
    trust::check(&asked, up, common, sets)
}

impl SetSource {
    fn of(up: &subcommands::UpArgs, common: &CommonOptions, sets: Option<&SetStore>) -> Result<Self, Fatal> {
        Self::read(up.set.as_deref(), up.file.as_deref(), common, sets)
    }

    /// Reads the set that is named, or the file, or else that of this directory.
    pub(super) fn read(
        set: Option<&str>,
        file: Option<&str>,
        common: &CommonOptions,
        sets: Option<&SetStore>,
    ) -> Result<Self, Fatal> {
        let limit = WaitLimit::new(WITHIN);
        let notify = |name: &str| print_waiting(&format!("the end of {name}"), common);
        let open = |path: &Path| {
            let document = SetDocument::open(path, limit, || notify(&path.display().to_string()))?;
            Ok(Self { document, directory: directory(path), name: None })
        };
        match (set, file) {
            (Some(_), Some(_)) => {
                Err(Fatal::new("fwd::usage::arguments", "give the name of a set or a file, not both")
                    .help("leave one of them out"))
            }
            (None, Some(subcommands::STDIN)) => {
                let name = "stdin".to_owned();
                SetDocument::from_reader(name, io::stdin(), limit, || notify("stdin, a set of forwards"))
                    .map(|document| Self { document, directory: PathBuf::new(), name: None })
            }
            (None, Some(file)) => open(Path::new(file)),
            (Some(name), None) => {
                let sets = sets.ok_or_else(no_config_directory)?;
                let (document, directory) = (sets.load(name)?, directory(&sets.path(name)?));
                Ok(Self { document, directory, name: Some(name.to_owned()) })
            }
            (None, None) if Path::new(FILE).exists() => open(Path::new(FILE)),
            (None, None) => {
                let names = sets.map(SetStore::names).unwrap_or_default();
                let fatal = Fatal::new("fwd::set::none", "which set?")
                    .because(format!("none is named, and there is no {FILE} in this directory"));
                Err(match names.as_slice() {
                    [] => fatal.help("to make a set of the forwards that run: kubectl fwd save NAME"),
                    names => fatal.help(format!("name one of your sets: {}", names.join(", "))),
                })
            }
        }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        self.name.as_ref().map_or_else(|| self.document.name.clone(), |name| format!("the set '{name}'"))
    }

    /// What is typed behind `up` for it.
    fn words(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("-f {}", self.document.name))
    }

    /// A line of it.
    fn place(&self, line: usize) -> String {
        let place = format!("{}:{line}", self.document.name);
        self.name.as_ref().map_or_else(|| place.clone(), |name| format!("the set '{name}' ({place})"))
    }
}

fn directory(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}
