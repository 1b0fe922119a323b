//! `save`: from the forwards that run, in whichever process, to a set.

use std::path::Path;

use super::{
    lifecycle::no_config_directory,
    manage::{ForwardListing, filter, find, print_waiting},
    stdout::print,
};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    control::sockets::SocketDirectories,
    error::{Fatal, io_message},
    sets::{self, Existing, ForwardSet, SetLock, SetStore},
    system::file::AtomicFile,
};

/// The file that is none.
const STDOUT: &str = "-";

/// Saves what runs.
pub(super) async fn save(
    directories: &SocketDirectories,
    save: &subcommands::SaveArgs,
    sets: Option<&SetStore>,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let usage = |what: &str, help: &str| Err(Fatal::new("fwd::usage::arguments", what).help(help));
    match (&save.set, &save.file) {
        (None, None) => return usage("which name should the set get?", "for example: kubectl fwd save dev"),
        (Some(_), Some(_)) => {
            return usage("a set is saved under a name or in a file, not both", "leave one of them out");
        }
        (None, Some(_)) if save.auto => {
            return usage(
                "--auto works for sets that are saved under a name, not for files",
                "name the set: kubectl fwd save --auto NAME",
            );
        }
        _ => {}
    }
    if let (Some(name), Some(sets)) = (&save.set, sets) {
        sets.path(name)?;
    }
    let ForwardListing { found, complete, .. } = find(directories, common).await?;
    let forwards: Vec<_> = found.into_iter().map(|(_, forward)| forward).collect();
    // What is missing was told, and the exit status has to show it.
    let status = u8::from(!complete);
    // One that is kept current can begin with none.
    if forwards.is_empty() && !save.auto {
        return Err(Fatal::new("fwd::set::nothing", "there is nothing to save")
            .because(if complete {
                format!("no forwards are running{}", filter(common))
            } else {
                format!("no process that answered has forwards{}", filter(common))
            })
            .help("start them first, for example: kubectl fwd -d svc/api 8080:80"));
    }
    let set = ForwardSet { auto: save.auto, ..ForwardSet::of(&forwards)? };
    let count = set.forwards();
    let existing = if save.force { Existing::Replace } else { Existing::Keep };
    let (path, up) = match (&save.set, &save.file) {
        (_, Some(file)) if file == STDOUT => return print(&sets::text(&set)?).map(|_| status),
        (_, Some(file)) => {
            to_file(Path::new(file), &set, existing)?;
            (file.clone(), format!("-f {file}"))
        }
        (name, None) => {
            let (name, sets) = (name.clone().unwrap_or_default(), sets.ok_or_else(no_config_directory)?);
            let path = sets.save(&lock(sets, common)?, &name, &set, existing)?;
            (path.display().to_string(), name)
        }
    };
    if common.ui.quiet {
        return Ok(status);
    }
    let text = match count {
        // It is worth a word: what is to be kept current may have been meant to begin with something.
        0 => format!(
            "No forwards are running{}, so {path} is empty. Forwards that you start are added to it from now on\n",
            filter(common)
        ),
        count => {
            let forwards = if count == 1 { "1 forward".to_owned() } else { format!("{count} forwards") };
            let current = if save.auto { ", and kept current from now on" } else { "" };
            format!("{forwards} saved to {path}{current}. Start: kubectl fwd up {up}\n")
        }
    };
    print(&text).map(|_| status)
}

fn lock(sets: &SetStore, common: &CommonOptions) -> Result<SetLock, Fatal> {
    sets.lock(|path| {
        print_waiting(&format!("another process to release the lock {}", path.display()), common);
    })
}

fn to_file(path: &Path, set: &ForwardSet, existing: Existing) -> Result<(), Fatal> {
    let name = path.display();
    if path.exists() && existing == Existing::Keep {
        return Err(Fatal::new("fwd::set::exists", format!("{name} exists already"))
            .because("it may have changes of yours")
            .help("choose another file, or replace it with --force"));
    }
    let text = sets::text(set)?;
    let written = AtomicFile::of(path).and_then(|file| file.commit(&text));
    written.map_err(|error| {
        Fatal::new("fwd::set::unwritable", format!("cannot write {name}"))
            .because(io_message(&error))
            .help("its directory has to exist, and you need the right to write there")
    })
}
