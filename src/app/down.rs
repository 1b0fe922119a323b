//! `down`: ends what `up` started, in whichever process it runs.

use super::{
    manage::{find_all, print_notice, stop_and_tell},
    set_status::set_status,
    up::{SetSource, wanted},
};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    control::sockets::SocketDirectories,
    error::Fatal,
    sets::{ReadSet, SetStore, read},
    ui::report,
};

/// Stops the forwards of a set.
pub(super) async fn down(
    directories: &SocketDirectories,
    down: &subcommands::DownArgs,
    sets: Option<&SetStore>,
    mut common: CommonOptions,
) -> Result<u8, Fatal> {
    let source = SetSource::read(down.set.as_deref(), down.file.as_deref(), &common, sets)?;
    let ReadSet { set, problems, .. } = read(&source.document.text);
    let mut status = 0;
    if !problems.is_empty() {
        // What can be read is stopped, for that is what was started.
        let left_out = source.document.invalid(problems, "these forwards are not looked for");
        print_notice(report::warning(&left_out, common.ui.colors.stderr).trim_end());
        status = 1;
    }
    let wanted = wanted(set, &source, &mut common, &subcommands::UpArgs::default());
    let listing = find_all(directories, &common).await;
    let running = set_status(wanted, &common, listing.found).await?.running;
    if running.is_empty() && listing.complete && !common.ui.quiet {
        print_notice(&format!("No forwards of {} are running.", source.name()));
    }
    Ok(stop_and_tell(&running, &common).await?.max(status).max(u8::from(!listing.complete)))
}
