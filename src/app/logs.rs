//! `logs`: what a process in the background has to say.

use std::{fs, io, path::PathBuf, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    io::AsyncReadExt as _,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    lifecycle::no_start,
    log_file::Tail,
    manage::{find, is_wanted, read_records},
    records::FoundRecords,
    signals::Signals,
    stdout::put,
};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    control::{
        pick::pick,
        sockets::{ControlSocket, ControlStream, SocketConnection, SocketDirectories},
    },
    error::{Fatal, io_message},
    model::forward::ForwardId,
    ui::escape,
};

/// How often a log is looked at that is followed: soon enough for a person.
const PACE: Duration = Duration::from_millis(250);

/// How long a process may take to accept a connection. One that takes longer is there, and hangs.
const ACCEPT: Duration = Duration::from_secs(1);

/// Prints the log of the process that has the forward, or had it.
pub(super) async fn logs(
    directories: &SocketDirectories,
    logs: &subcommands::LogsArgs,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let (path, socket) = locate(directories, &logs.forward, common).await?;
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let mut process = socket.filter(|_| logs.follow).map(FollowedProcess::of);
    let (mut tail, mut cut, mut ended) = (Tail::of(path.clone()), Vec::new(), false);
    loop {
        // Asked first, and looked at once more after it: what it says last is printed.
        let over = ended || process.is_none();
        if let Some(process) = &mut process {
            ended = !process.is_there().await;
        }
        let new = match tail.more() {
            // A program that moves logs away makes a new one in a moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !over => Vec::new(),
            more => more.map_err(|error| unreadable(&path, &error))?,
        };
        let text = printable(&mut cut, new);
        // A pager that does not read holds up the writing, and nobody's Ctrl-C.
        let printed = tokio::select! {
            printed = spawn_blocking(move || put(text.as_bytes())) => printed.unwrap_or(Ok(true))?,
            _ = signals.next() => return Ok(0),
        };
        if !printed || over {
            return Ok(0);
        }
        tokio::select! {
            () = sleep(PACE) => {}
            _ = signals.next() => return Ok(0),
        }
    }
}

/// The log as a terminal may show it. A character of which only a part is written yet waits in `cut` for its rest.
fn printable(cut: &mut Vec<u8>, new: Vec<u8>) -> String {
    cut.extend(new);
    let rest = match str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => cut.split_off(error.valid_up_to()),
        _ => Vec::new(),
    };
    let whole = std::mem::replace(cut, rest);
    escape::lines(&String::from_utf8_lossy(&whole)).into_owned()
}

/// The process whose log is followed.
struct FollowedProcess {
    socket: ControlSocket,
    /// A connection, which ends with it.
    stream: Option<ControlStream>,
}

impl FollowedProcess {
    fn of(socket: ControlSocket) -> Self {
        Self { socket, stream: None }
    }

    async fn is_there(&mut self) -> bool {
        if let Some(stream) = &mut self.stream {
            // It says nothing unasked: there is something to read when the connection is over.
            if stream.read(&mut [0]).now_or_never().is_none() {
                return true;
            }
            self.stream = None;
        }
        // Our slot may have been given to another client, so it is asked for anew.
        match timeout(ACCEPT, self.socket.connect()).await {
            Ok(Ok(SocketConnection::Dead)) => false,
            Ok(Ok(SocketConnection::Stream(stream))) => {
                self.stream = Some(stream);
                true
            }
            // It is stopped, or has too many clients for the moment.
            Ok(Err(_)) | Err(_) => true,
        }
    }
}

/// Finds the log, and the socket of its process where that is there.
async fn locate(
    directories: &SocketDirectories,
    word: &str,
    common: &CommonOptions,
) -> Result<(PathBuf, Option<ControlSocket>), Fatal> {
    let (sockets, forwards): (Vec<_>, Vec<_>) = find(directories, common).await?.found.into_iter().unzip();
    let all = directories.logs();
    let unknown = match pick(word, &forwards) {
        Ok(found) => {
            let id = found.first().map(|forward| forward.id);
            // `pick` gives at least one, and of these: so the place is there, in both.
            let at = forwards.iter().position(|forward| Some(forward.id) == id).unwrap_or_default();
            let (socket, pid) = (sockets[at].clone(), forwards[at].pid);
            return match all.into_iter().find(|(other, _)| *other == pid) {
                Some((_, path)) => Ok((path, Some(socket))),
                None => Err(Fatal::new("fwd::logs::none", format!("'{word}' has no log"))
                    .because(format!("its process ({pid}) does not run in the background"))
                    .help("its messages are in the terminal where it runs")),
            };
        }
        Err(unknown) => unknown,
    };
    // One that does not answer, or has ended, is known by its record; of those of one name, the last.
    let FoundRecords { ended, running } = read_records(directories).await;
    let ended = ended.into_iter().filter_map(|found| Some((found.row.forward?, found.log)));
    for (forward, log) in running.into_iter().chain(ended).filter(|(one, _)| is_wanted(one, &common.flags)) {
        let pid = forward.pid;
        if pick(word, &[forward]).is_ok() && log.exists() {
            // The process may go on with other forwards.
            let socket = directories.sockets().0.into_iter().find(|socket| socket.pid == pid);
            return Ok((log, socket));
        }
    }
    // One of longer ago, or that does not answer, is known by what it said.
    let said = |path: &PathBuf| {
        let id: Option<ForwardId> = word.parse().ok();
        id.is_some_and(|id| fs::read_to_string(path).is_ok_and(|text| text.contains(&id.to_string())))
    };
    match all.into_iter().find(|(_, path)| said(path)) {
        Some((pid, path)) => {
            let socket = directories.sockets().0.into_iter().find(|socket| socket.pid == pid);
            Ok((path, socket))
        }
        None => Err(none(word, &unknown)),
    }
}

/// What [`pick`] says is said to somebody who wants to stop something.
fn none(word: &str, unknown: &Fatal) -> Fatal {
    let what = format!("no log of one forward '{word}' was found");
    let fatal = unknown.causes().fold(Fatal::new("fwd::logs::unknown", what), Fatal::because);
    match unknown.advice() {
        Some(advice) => fatal.help(advice),
        None => fatal,
    }
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::logs::unreadable", format!("cannot read {}", path.display())).because(io_message(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_and_whole() {
        let mut cut = Vec::new();
        let bytes = "a\u{1b}[2J\n\u{202e}ü\n".as_bytes();
        let (one, two) = bytes.split_at(bytes.len() - 2);
        let mut text = printable(&mut cut, one.to_vec());
        text.push_str(&printable(&mut cut, two.to_vec()));
        assert_eq!(text, "a\\u{1b}[2J\n\\u{202e}ü\n");
        assert_eq!(printable(&mut cut, vec![b'x', 0xff, b'y']), "x\u{fffd}y");
    }
}
