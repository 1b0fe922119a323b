//! The state of the panel: a fold over what processes tell, keys and time. It knows no terminal, no socket and no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use ratatui::layout::{Position, Rect};

use super::{
    dialog::{DialogStep, PanelDialog},
    effect::{ForwardRef, PanelEffect, PanelInput, PanelMessage, UnansweredWhy, WheelTurn},
    row::{PanelLine, PanelRow},
    told::ToldEvent,
};
use crate::{
    model::forward::{ForwardId, PortForward},
    ui::{list::RowState, wording::Severity},
};

/// Rows: the forwards of some full processes. More are not shown, and are said to be there.
const MAX_ROWS: usize = 4000;
/// Events of forwards that no list has told of yet: those of a start.
const MAX_EARLY: usize = 256;
/// How long a message stays.
const MESSAGE_SHOWN: SignedDuration = SignedDuration::from_secs(8);
/// Lines that a turn of the wheel moves.
const WHEEL_LINES: usize = 3;

/// Whose forwards are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanelScope {
    /// Those of all processes. They go on when the panel is left.
    AllProcesses,
    /// Those of this process, which end with it.
    ThisProcess,
}

/// Which pane takes the keys for moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanelPane {
    /// The forwards.
    Forwards,
    /// The events of the selected one.
    Events,
}

/// How much of the screen the events have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsSize {
    /// A part.
    Part,
    /// All.
    All,
}

/// What can be clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanelSpot {
    /// A row.
    Row(ForwardId),
    /// The events.
    Events,
    /// The button.
    Stop,
    /// The button.
    StopAll,
    /// Of a question.
    Yes,
    /// Of a question.
    No,
    /// Of a choice.
    Pod(usize),
    /// What lies over the rest, and is no button.
    Dialog,
}

/// What was drawn last, as far as keys and clicks depend on it.
#[derive(Debug, Default)]
pub struct DrawnScreen {
    /// What can be clicked, the uppermost last.
    pub spots: Vec<(Rect, PanelSpot)>,
    /// The first row that is shown.
    pub first: usize,
    /// Rows that fit.
    pub rows: usize,
    /// Lines of events that fit.
    pub lines: usize,
}

/// The state.
#[derive(Debug)]
pub struct PanelState {
    /// Whose forwards are shown.
    pub scope: PanelScope,
    /// The forwards, process by process in the order in which they were met.
    pub rows: Vec<PanelRow>,
    /// Those that no row is left for.
    pub left_out: BTreeMap<u32, usize>,
    /// Processes that do not answer.
    pub unanswered: BTreeMap<u32, UnansweredWhy>,
    /// Whether any process has answered.
    pub met: bool,
    /// The selected one.
    pub selected: Option<ForwardId>,
    /// The marked ones.
    pub marked: BTreeSet<ForwardId>,
    /// Only rows with this text are shown.
    pub filter: String,
    /// What lies over it.
    pub dialog: Option<PanelDialog>,
    /// Which pane takes the keys for moving.
    pub pane: PanelPane,
    /// How large the events are.
    pub events: EventsSize,
    /// Lines of events below the screen.
    pub below: usize,
    /// What is said at the foot.
    pub message: Option<PanelMessage>,
    /// What was drawn last.
    pub drawn: DrawnScreen,
    early: VecDeque<(Timestamp, Box<ToldEvent>)>,
}

impl PanelState {
    /// Without forwards.
    pub fn new(scope: PanelScope) -> Self {
        Self {
            scope,
            rows: Vec::new(),
            left_out: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            met: false,
            selected: None,
            marked: BTreeSet::new(),
            filter: String::new(),
            dialog: None,
            pane: PanelPane::Forwards,
            events: EventsSize::Part,
            below: 0,
            message: None,
            drawn: DrawnScreen::default(),
            early: VecDeque::new(),
        }
    }

    /// Takes in what happened, and says what is to be done.
    pub fn apply(&mut self, input: PanelInput, now: Timestamp) -> Option<PanelEffect> {
        let at = self.position();
        let effect = match input {
            PanelInput::Key(key) => self.press(key, now),
            PanelInput::Click(column, row) => self.click(Position { x: column, y: row }),
            PanelInput::Wheel(turn) => {
                self.turn(turn);
                None
            }
            told => {
                self.take_in(told, now);
                None
            }
        };
        self.select_near(at);
        effect
    }

    fn take_in(&mut self, input: PanelInput, now: Timestamp) {
        match input {
            PanelInput::Listed(pid, forwards) => self.listed(pid, forwards, now),
            PanelInput::Told(pid, event) => self.told(pid, event, now),
            PanelInput::Unanswered(pid, why) => {
                self.unanswered.insert(pid, why);
                let state = match why {
                    UnansweredWhy::Suspended => RowState::Suspended,
                    UnansweredWhy::Silent => RowState::Silent,
                };
                for row in self.running(pid) {
                    row.state = state;
                }
            }
            PanelInput::Ended(pid) => self.process_ended(pid, now),
            PanelInput::Notice(severity, text) => self.say(severity, text, now),
            PanelInput::Pods(of, pods) => self.choose_pod(of, pods, now),
            PanelInput::Log(pid, lines) => self.show_log(pid, lines),
            PanelInput::Tick => {
                self.rows.retain(|row| !row.is_past(now));
                let old = |message: &PanelMessage| now.duration_since(message.at) >= MESSAGE_SHOWN;
                self.message.take_if(|message| old(message));
                self.early.retain(|(since, _)| now.duration_since(*since) < MESSAGE_SHOWN);
            }
            PanelInput::Key(_) | PanelInput::Click(..) | PanelInput::Wheel(_) => {}
        }
    }

    fn running(&mut self, pid: u32) -> impl Iterator<Item = &mut PanelRow> {
        self.rows.iter_mut().filter(move |row| row.forward.pid == pid && row.ended.is_none())
    }

    fn listed(&mut self, pid: u32, forwards: Vec<PortForward>, now: Timestamp) {
        self.met = true;
        self.unanswered.remove(&pid);
        let ids: BTreeSet<ForwardId> = forwards.iter().map(|one| one.id).collect();
        for row in self.running(pid).filter(|row| !ids.contains(&row.forward.id)) {
            row.end(RowState::Stopped, now);
        }
        let mut known: BTreeMap<ForwardId, usize> =
            self.rows.iter().enumerate().map(|(at, row)| (row.forward.id, at)).collect();
        let mut place =
            self.rows.iter().rposition(|row| row.forward.pid == pid).map_or(self.rows.len(), |at| at + 1);
        let mut left_out = 0;
        let mut new = Vec::new();
        for forward in forwards {
            match known.remove(&forward.id) {
                // What was stopped meanwhile is not brought back by an answer that was under way.
                Some(at) if self.rows[at].ended.is_none() => self.rows[at].update(forward, now),
                Some(_) => {}
                None if self.rows.len() + new.len() >= MAX_ROWS => left_out += 1,
                None => new.push(self.first_seen(forward, now)),
            }
        }
        for row in new {
            self.rows.insert(place, row);
            place += 1;
        }
        self.left_out.insert(pid, left_out);
        self.left_out.retain(|_, count| *count > 0);
    }

    fn first_seen(&mut self, forward: PortForward, now: Timestamp) -> PanelRow {
        let mut row = PanelRow::new(forward, now);
        self.early.retain(|(_, event)| {
            let is_its = event.id == row.forward.id;
            if is_its {
                row.tell(event, now);
            }
            !is_its
        });
        row
    }

    fn told(&mut self, pid: u32, event: Box<ToldEvent>, now: Timestamp) {
        let is_meant = |row: &&mut PanelRow| row.forward.id == event.id && row.forward.pid == pid;
        if let Some(row) = self.rows.iter_mut().find(is_meant) {
            return row.tell(&event, now);
        }
        if self.early.len() >= MAX_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((now, event));
    }

    fn process_ended(&mut self, pid: u32, now: Timestamp) {
        self.unanswered.remove(&pid);
        self.left_out.remove(&pid);
        for row in self.running(pid) {
            let text = format!("its process ({pid}) ended without a word: it was killed, or crashed");
            row.say(PanelLine { at: now, severity: Severity::Error, text });
            row.end(RowState::Failed, now);
        }
    }

    /// Says something at the foot.
    pub(super) fn say(&mut self, severity: Severity, text: String, now: Timestamp) {
        self.message = Some(PanelLine { at: now, severity, text });
    }

    /// The rows that the filter leaves.
    pub fn shown(&self) -> Vec<&PanelRow> {
        self.rows.iter().filter(|row| self.filter.is_empty() || row.matches(&self.filter)).collect()
    }

    /// The selected row.
    pub fn selected_row(&self) -> Option<&PanelRow> {
        self.rows.iter().find(|row| Some(row.forward.id) == self.selected)
    }

    /// Where the selected row stands among those shown.
    pub fn position(&self) -> Option<usize> {
        self.shown().iter().position(|row| Some(row.forward.id) == self.selected)
    }

    /// Where the selected one is gone, the one that has come into its place is selected.
    fn select_near(&mut self, before: Option<usize>) {
        let shown = self.shown();
        if shown.iter().any(|row| Some(row.forward.id) == self.selected) {
            return;
        }
        let at = before.unwrap_or(0).min(shown.len().saturating_sub(1));
        self.selected = shown.get(at).map(|row| row.forward.id);
        self.below = 0;
        let there: BTreeSet<ForwardId> = self.rows.iter().map(|row| row.forward.id).collect();
        self.marked.retain(|id| there.contains(id));
    }

    pub(super) fn select(&mut self, at: usize) {
        let shown = self.shown();
        let id = shown.get(at.min(shown.len().saturating_sub(1))).map(|row| row.forward.id);
        if id != self.selected {
            (self.selected, self.below) = (id, 0);
        }
    }

    /// The rows that a command is about: the marked ones, or the selected one.
    pub(super) fn meant(&self) -> Vec<&PanelRow> {
        let lives = |row: &&PanelRow| row.ended.is_none();
        let marked: Vec<_> =
            self.rows.iter().filter(lives).filter(|row| self.marked.contains(&row.forward.id)).collect();
        if marked.is_empty() { self.selected_row().into_iter().filter(lives).collect() } else { marked }
    }

    fn turn(&mut self, turn: WheelTurn) {
        let (row, up) = match turn {
            WheelTurn::Up(row) => (row, true),
            WheelTurn::Down(row) => (row, false),
        };
        let in_events = self
            .drawn
            .spots
            .iter()
            .any(|(area, spot)| *spot == PanelSpot::Events && (area.top()..area.bottom()).contains(&row));
        if self.dialog.is_some() {
            return;
        }
        if in_events {
            self.scroll_events(WHEEL_LINES, up);
        } else {
            let at = self.position().unwrap_or(0);
            self.select(if up { at.saturating_sub(WHEEL_LINES) } else { at + WHEEL_LINES });
        }
    }

    pub(super) fn scroll_events(&mut self, lines: usize, up: bool) {
        let most = self.selected_row().map_or(0, |row| row.log.len().saturating_sub(self.drawn.lines));
        self.below = if up { (self.below + lines).min(most) } else { self.below.saturating_sub(lines) };
    }

    fn click(&mut self, at: Position) -> Option<PanelEffect> {
        let spot = self.drawn.spots.iter().rev().find(|(area, _)| area.contains(at)).map(|(_, spot)| *spot);
        match (spot, &mut self.dialog) {
            (Some(PanelSpot::Yes), Some(PanelDialog::Confirm(question))) => {
                let then = question.then.clone();
                self.dialog = None;
                Some(then)
            }
            (Some(PanelSpot::Pod(pod)), Some(PanelDialog::Pods(choice))) => {
                choice.at = pod;
                match choice.chosen() {
                    DialogStep::Done(effect) => {
                        self.dialog = None;
                        Some(effect)
                    }
                    _ => None,
                }
            }
            (Some(PanelSpot::Dialog), Some(_)) => None,
            // No, or a click beside a dialog, closes it.
            (_, Some(_)) => {
                self.dialog = None;
                None
            }
            (Some(PanelSpot::Row(id)), None) => {
                self.pane = PanelPane::Forwards;
                if self.selected != Some(id) {
                    (self.selected, self.below) = (Some(id), 0);
                }
                None
            }
            (Some(PanelSpot::Events), None) => {
                self.pane = PanelPane::Events;
                None
            }
            (Some(PanelSpot::Stop), None) => self.ask_stop(),
            (Some(PanelSpot::StopAll), None) => self.ask_stop_all(),
            (Some(PanelSpot::Yes | PanelSpot::No | PanelSpot::Pod(_) | PanelSpot::Dialog) | None, None) => {
                None
            }
        }
    }

    /// What to ask about a row.
    pub(super) fn reference(row: &PanelRow) -> ForwardRef {
        ForwardRef { pid: row.forward.pid, id: row.forward.id }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
