//! `sets`: the sets that there are, and how much of each runs.

use serde::Serialize;

use super::{
    manage::{find_all, print_notice},
    set_status::set_status,
    stdout::print,
    up::{FILE, SetSource, wanted},
};
use crate::{
    cli::{
        resolve::{CommonOptions, SetListFormat},
        subcommands,
    },
    control::sockets::SocketDirectories,
    error::Fatal,
    sets::{ReadSet, SetStore, read},
    ui::{columns::columns, escape, report, yaml::yaml},
};

/// A set in the list: what programs read of it.
#[derive(Debug, Serialize)]
struct ListedSet {
    /// None for the file of this directory.
    name: Option<String>,
    path: String,
    forwards: usize,
    running: usize,
    auto: bool,
}

/// Shows the sets of the user, and that of this directory.
pub(super) async fn list_sets(
    directories: &SocketDirectories,
    format: SetListFormat,
    sets: Option<&SetStore>,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let running = find_all(directories, common).await;
    let mut names: Vec<Option<String>> = Vec::new();
    if std::path::Path::new(FILE).is_file() {
        names.push(None);
    }
    names.extend(sets.map(SetStore::names).unwrap_or_default().into_iter().map(Some));
    let (mut all, mut status) = (Vec::new(), u8::from(!running.complete));
    for name in names {
        let file = name.is_none().then_some(FILE);
        let mut warn = |fatal: &Fatal| {
            print_notice(report::warning(fatal, common.ui.colors.stderr).trim_end());
            status = 1;
        };
        let mut own = common.clone();
        let source = match SetSource::read(name.as_deref(), file, &own, sets) {
            Ok(source) => source,
            Err(fatal) => {
                warn(&fatal);
                continue;
            }
        };
        let ReadSet { set, problems, .. } = read(&source.document.text);
        if !problems.is_empty() {
            warn(&source.document.invalid(problems, "these forwards are not counted"));
        }
        let (forwards, auto) = (set.forwards(), set.auto);
        let wanted = wanted(set, &source, &mut own, &subcommands::UpArgs::default());
        let running = match set_status(wanted, &own, running.found.clone()).await {
            Ok(status) => status.running.len(),
            Err(fatal) => {
                warn(&fatal.asked_by(Some(&source.document.name)));
                0
            }
        };
        all.push(ListedSet { name, path: source.document.name, forwards, running, auto });
    }
    if all.is_empty() && format == SetListFormat::Table && !common.ui.quiet {
        print_notice("There are no sets. Make one of the forwards that run: kubectl fwd save NAME");
    }
    print(&render(&all, format)).map(|printed| printed.max(status))
}

fn render(all: &[ListedSet], format: SetListFormat) -> String {
    match format {
        SetListFormat::Table if all.is_empty() => String::new(),
        SetListFormat::Table => {
            let mut rows = vec![["NAME", "FORWARDS", "RUNNING", "PATH"].map(str::to_owned).to_vec()];
            rows.extend(all.iter().map(|set| {
                vec![
                    set.name.clone().unwrap_or_else(|| "-".to_owned()),
                    set.forwards.to_string(),
                    format!("{}/{}", set.running, set.forwards),
                    escape::line(&set.path).into_owned(),
                ]
            }));
            columns(&rows)
        }
        SetListFormat::Json => escape::pretty_json(&all),
        SetListFormat::Yaml => yaml(&serde_json::to_value(all).unwrap_or_default()),
        SetListFormat::Name => {
            all.iter().filter_map(|set| set.name.as_deref()).flat_map(|name| [name, "\n"]).collect()
        }
    }
}
