//! The link by which kubectl finds the program to complete its words: `kubectl_complete-fwd` beside `kubectl-fwd`.
//!
//! krew links the one file of a plugin into its directory. The link made here leads to that link and not to the file, so
//! that it leads to the new file after an upgrade.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use self::system::{COMPLETER, PROGRAM};
use super::super::stdout::print;
use crate::error::{Fatal, io_message};

/// Makes the link, and says where.
pub(in crate::app) fn install(path: Option<&OsStr>) -> Result<u8, Fatal> {
    let program = find(path)?;
    let link = program.with_file_name(COMPLETER);
    let link_name = link.display();
    let what = match place(&link) {
        Place::Ours => "is installed already",
        Place::Foreign => return Err(foreign(&link, "replaced")),
        Place::Free => {
            system::make(&link).map_err(|error| {
                Fatal::new("fwd::completion::unwritable", format!("cannot make the link {link_name}"))
                    .because(io_message(&error))
                    .help(format!(
                        "run it as a user who may write there, or make it in another directory of your PATH: {}",
                        system::by_hand(&program)
                    ))
            })?;
            "is installed"
        }
    };
    print(&format!(
        "completion {what}: {link_name}\nTry it: kubectl fwd <TAB>. It needs kubectl 1.26 or later, and a shell that \
         completes kubectl (see 'kubectl completion --help').\n"
    ))
}

/// Removes the link.
pub(in crate::app) fn uninstall(path: Option<&OsStr>) -> Result<u8, Fatal> {
    let link = find(path)?.with_file_name(COMPLETER);
    let name = link.display();
    match place(&link) {
        Place::Free => print(&format!("completion is not installed: there is no {name}\n")),
        Place::Foreign => Err(foreign(&link, "removed")),
        Place::Ours => {
            std::fs::remove_file(&link).map_err(|error| {
                Fatal::new("fwd::completion::unwritable", format!("cannot remove the link {name}"))
                    .because(io_message(&error))
                    .help("run it as a user who may write to that directory")
            })?;
            print(&format!("completion is removed: {name}\n"))
        }
    }
}

/// What is where the link belongs.
enum Place {
    Free,
    Ours,
    Foreign,
}

fn place(link: &Path) -> Place {
    match link.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Free,
        Ok(_) if system::is_ours(link) => Place::Ours,
        _ => Place::Foreign,
    }
}

fn foreign(link: &Path, done: &str) -> Fatal {
    Fatal::new(
        "fwd::completion::foreign",
        format!("{} is there already, and is not this program's", link.display()),
    )
    .because("it does not lead to the kubectl-fwd beside it")
    .help(format!("look at what it is; it is not {done}. Delete it yourself to go on"))
}

/// The program as kubectl finds it.
fn find(path: Option<&OsStr>) -> Result<PathBuf, Fatal> {
    let directories = path.map(std::env::split_paths).into_iter().flatten();
    let mut programs = directories.map(|directory| directory.join(PROGRAM));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        Fatal::new("fwd::completion::not_found", format!("{PROGRAM} is in no directory of your PATH"))
            .because("kubectl looks for plugins there, and for their completion")
            .help("put the program into a directory of your PATH, under that name, and run this again")
    })
}

#[cfg(not(windows))]
mod system {
    use std::{io, path::Path};

    pub(super) const PROGRAM: &str = "kubectl-fwd";
    pub(super) const COMPLETER: &str = "kubectl_complete-fwd";

    /// Makes a link to its neighbour.
    pub(super) fn make(link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(PROGRAM, link)
    }

    /// How a person makes it.
    pub(super) fn by_hand(program: &Path) -> String {
        format!("ln -s {} DIRECTORY/{COMPLETER}", program.display())
    }

    /// Whether it leads where its neighbour leads.
    pub(super) fn is_ours(link: &Path) -> bool {
        let neighbour = link.with_file_name(PROGRAM);
        let leads_there = link.read_link().is_ok_and(|to| to == Path::new(PROGRAM) || to == neighbour);
        let same = || Some(link.canonicalize().ok()? == neighbour.canonicalize().ok()?);
        leads_there || (link.is_symlink() && same().unwrap_or(false))
    }
}

#[cfg(windows)]
mod system {
    use std::{fs, io, path::Path};

    pub(super) const PROGRAM: &str = "kubectl-fwd.exe";
    /// A link takes rights there that few users have.
    pub(super) const COMPLETER: &str = "kubectl_complete-fwd.cmd";

    /// Calls its neighbour.
    const SCRIPT: &str = "@\"%~dp0kubectl-fwd.exe\" __complete %*\r\n";

    /// Writes the file that calls its neighbour.
    pub(super) fn make(link: &Path) -> io::Result<()> {
        fs::write(link, SCRIPT)
    }

    /// How a person makes it.
    pub(super) fn by_hand(program: &Path) -> String {
        format!("a file {COMPLETER} with the line @\"{}\" __complete %*", program.display())
    }

    /// Whether it is that file.
    pub(super) fn is_ours(link: &Path) -> bool {
        fs::read(link).is_ok_and(|text| text == SCRIPT.as_bytes())
    }
}
