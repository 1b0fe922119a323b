//! `list --watch`: the list, and after it each forward again whenever it changes, as `kubectl get -w` has it.
//!
//! Processes tell what happens to their forwards; nothing is asked again and again. Only for new processes their directory
//! is looked at.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::interval,
};

use super::{
    lifecycle::no_start,
    manage::{ForwardListing, find, is_wanted, print_none},
    signals::Signals,
    stdout::put,
};
use crate::{
    cli::resolve::CommonOptions,
    control::{
        sockets::{ControlSocket, SocketDirectories},
        watch::{ForwardWatch, WatchUpdate, WatchedEnd},
    },
    error::Fatal,
    model::forward::{ByteCounts, ConnectionCounts, ForwardId, PortForward},
    ui::list::{self, ListRow, ListStyle, ListTable, RowState},
};

/// How often it is looked for new processes: soon enough for a person, and it is one look into a directory.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Updates that wait to be shown; a process whose update finds no room waits.
const UPDATES: usize = 64;

/// What is shown, and where it comes from.
struct WatchedList<'a> {
    style: &'a ListStyle,
    common: &'a CommonOptions,
    table: Option<ListTable>,
    shown: HashMap<ForwardId, (ControlSocket, PortForward)>,
}

/// Shows the list and what becomes of it, until Ctrl-C.
pub(super) async fn watch(
    directories: &SocketDirectories,
    style: &ListStyle,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let ForwardListing { found, unanswered, complete } = find(directories, common).await?;
    let mut rows: Vec<ListRow> = found.iter().map(|(_, forward)| forward.clone().into()).collect();
    if rows.is_empty() && complete && style.format.is_for_people() {
        print_none(common);
    }
    rows.extend(unanswered);
    let shown = found.into_iter().map(|(socket, forward)| (forward.id, (socket, forward))).collect();
    let mut list = WatchedList { style, common, table: None, shown };
    let mut text = list.text(&rows);
    let (sender, mut updates) = mpsc::channel(UPDATES);
    let (mut look, mut followed, mut tasks) = (interval(LOOK_INTERVAL), HashSet::new(), JoinSet::new());
    loop {
        if !text.is_empty() {
            // A pager that does not read holds up the writing, and nobody's Ctrl-C.
            let printed = tokio::select! {
                printed = spawn_blocking(move || put(text.as_bytes())) => printed.unwrap_or(Ok(true))?,
                _ = signals.next() => return Ok(0),
            };
            if !printed {
                return Ok(0);
            }
        }
        text = tokio::select! {
            _ = signals.next() => return Ok(0),
            Some((socket, update)) = updates.recv() => {
                if matches!(update, WatchUpdate::Closed(_)) {
                    // One that still runs is found again.
                    followed.remove(&socket);
                }
                let rows = list.apply(&socket, update);
                list.text(&rows)
            }
            _ = look.tick() => {
                while tasks.try_join_next().is_some() {}
                for socket in directories.sockets().0 {
                    if followed.insert(socket.clone()) {
                        tasks.spawn(follow(socket, sender.clone()));
                    }
                }
                String::new()
            }
        };
    }
}

/// Follows a process to its end. One that is suspended is waited for, as long as somebody watches.
async fn follow(socket: ControlSocket, updates: mpsc::Sender<(ControlSocket, WatchUpdate)>) {
    let mut watch = ForwardWatch::open(&socket).await.ok().flatten();
    loop {
        let update = match &mut watch {
            Some(watch) => watch.next().await,
            None => WatchUpdate::Closed(Vec::new()),
        };
        let over = matches!(update, WatchUpdate::Closed(_));
        if updates.send((socket.clone(), update)).await.is_err() || over {
            return;
        }
    }
}

impl WatchedList<'_> {
    /// The rows that are new.
    fn apply(&mut self, socket: &ControlSocket, update: WatchUpdate) -> Vec<ListRow> {
        let (forwards, ends, closed) = match update {
            WatchUpdate::Forwards(forwards, ends) => (forwards, ends, false),
            WatchUpdate::Closed(ends) => (Vec::new(), ends, true),
        };
        let mut rows = Vec::new();
        let here: HashSet<ForwardId> = forwards.iter().map(|forward| forward.id).collect();
        let over =
            |(own, forward): &(ControlSocket, PortForward)| own == socket && !here.contains(&forward.id);
        let mut gone: Vec<PortForward> =
            self.shown.values().filter(|shown| over(shown)).map(|(_, forward)| forward.clone()).collect();
        gone.sort_by_key(|forward| forward.id);
        for forward in gone {
            let told = ends.iter().find(|end| end.id == forward.id);
            // A connection that closed is not the end of the process: it is followed again, if it is there.
            if told.is_none() && closed && !is_gone(socket) {
                continue;
            }
            self.shown.remove(&forward.id);
            rows.push(ended(forward, told));
        }
        for forward in forwards.into_iter().filter(|forward| is_wanted(forward, &self.common.flags)) {
            let before = self.shown.get(&forward.id);
            if before.is_none_or(|(_, before)| essence(before) != essence(&forward)) {
                rows.push(forward.clone().into());
            }
            self.shown.insert(forward.id, (socket.clone(), forward));
        }
        rows
    }

    /// The rows as text, under the head of the first ones.
    fn text(&mut self, rows: &[ListRow]) -> String {
        let now = Timestamp::now();
        if rows.is_empty() {
            return String::new();
        }
        if !self.style.format.is_for_people() {
            return list::render_each(rows, self.style, now);
        }
        let mut text = String::new();
        let table = self.table.get_or_insert_with(|| {
            let table = self.style.table(rows, now);
            if self.style.headers {
                text.push_str(&table.head());
            }
            table
        });
        rows.iter().fold(text, |text, row| text + &table.row(row, now))
    }
}

/// Whether the socket of a process is no longer there: each removes its own at its end, and whoever finds a dead one does.
fn is_gone(socket: &ControlSocket) -> bool {
    !socket.path.exists()
}

/// What of a forward is worth a line when it changes. Counts are not: they change with every byte.
fn essence(forward: &PortForward) -> PortForward {
    PortForward {
        connections: ConnectionCounts::default(),
        bytes: ByteCounts::default(),
        last_error: None,
        ..forward.clone()
    }
}

/// The last row of a forward.
fn ended(forward: PortForward, told: Option<&WatchedEnd>) -> ListRow {
    let reason = match told {
        Some(end) => end.failure.clone(),
        None => Some("its process was killed".to_owned()),
    };
    let state = if reason.is_some() { RowState::Failed } else { RowState::Stopped };
    ListRow { state, reason, since: Some(Timestamp::now()), ..ListRow::from(forward) }
}
