//! What the keys of the panel do to its state.

use jiff::Timestamp;
use ratatui::crossterm::event::KeyCode;

use super::{
    dialog::{DialogStep, PanelDialog, PanelQuestion, PodChoice, ShownText, type_key},
    effect::{ForwardRef, PanelEffect},
    keys::{KeyAction, action},
    row::PanelRow,
    state::{EventsSize, PanelPane, PanelScope, PanelState},
};
use crate::{
    model::forward::{PortForward, TargetPod},
    ui::{key_bindings::KeyPress, list, wording::Severity},
};

impl PanelState {
    pub(super) fn press(&mut self, key: KeyPress, now: Timestamp) -> Option<PanelEffect> {
        // Whatever is open.
        match action(key) {
            Some(KeyAction::Suspend) => return Some(PanelEffect::Suspend),
            Some(KeyAction::Redraw) => return Some(PanelEffect::Redraw),
            _ => {}
        }
        let page = self.drawn.rows.max(1);
        match &mut self.dialog {
            None => self.act(action(key)?, now),
            Some(PanelDialog::Filter) => {
                self.type_filter(key);
                None
            }
            Some(dialog) => match dialog.press(key, page) {
                DialogStep::Open => None,
                DialogStep::Closed => {
                    self.dialog = None;
                    None
                }
                DialogStep::Done(effect) => {
                    self.dialog = None;
                    Some(effect)
                }
            },
        }
    }

    /// The rows follow every letter. Enter keeps the filter, Esc takes it back.
    fn type_filter(&mut self, key: KeyPress) {
        match key.code {
            KeyCode::Enter => self.dialog = None,
            KeyCode::Esc => (self.dialog, self.filter) = (None, String::new()),
            KeyCode::Char('c') if key.ctrl => (self.dialog, self.filter) = (None, String::new()),
            KeyCode::Up | KeyCode::Down => self.step(key.code == KeyCode::Up, 1),
            _ => type_key(&mut self.filter, key),
        }
    }

    fn act(&mut self, action: KeyAction, now: Timestamp) -> Option<PanelEffect> {
        let page = match self.pane {
            PanelPane::Forwards => self.drawn.rows,
            PanelPane::Events => self.drawn.lines,
        };
        match action {
            KeyAction::Up => self.step(true, 1),
            KeyAction::Down => self.step(false, 1),
            KeyAction::PageUp => self.step(true, page.max(1)),
            KeyAction::PageDown => self.step(false, page.max(1)),
            KeyAction::First => self.step(true, usize::MAX / 2),
            KeyAction::Last => self.step(false, usize::MAX / 2),
            KeyAction::OtherPane => {
                self.pane = match self.pane {
                    PanelPane::Forwards => PanelPane::Events,
                    PanelPane::Events => PanelPane::Forwards,
                }
            }
            KeyAction::Mark => self.mark(),
            KeyAction::Filter => self.dialog = Some(PanelDialog::Filter),
            KeyAction::Details if self.selected.is_some() => self.dialog = Some(PanelDialog::Details),
            KeyAction::Details => {}
            KeyAction::Help => self.dialog = Some(PanelDialog::Help(0)),
            KeyAction::Clear => {
                if self.events == EventsSize::All {
                    self.events = EventsSize::Part;
                } else {
                    self.filter.clear();
                    self.marked.clear();
                    self.message = None;
                }
            }
            KeyAction::Stop => return self.ask_stop(),
            KeyAction::StopAll => return self.ask_stop_all(),
            KeyAction::Reconnect => {
                let meant: Vec<_> = self.meant().into_iter().map(Self::reference).collect();
                return (!meant.is_empty()).then_some(PanelEffect::Reconnect(meant));
            }
            KeyAction::ChoosePod => {
                return self.living().map(|row| PanelEffect::ListPods(Self::reference(row)));
            }
            KeyAction::Add => return Some(PanelEffect::Add),
            KeyAction::Save => self.ask_name(now),
            KeyAction::Copy => return self.copy(now),
            KeyAction::Open => {
                return self.living().map(|row| PanelEffect::Open(Box::new(row.forward.clone())));
            }
            KeyAction::Log if self.events == EventsSize::All => self.events = EventsSize::Part,
            KeyAction::Log => return self.selected_row().map(|row| PanelEffect::ReadLog(row.forward.pid)),
            KeyAction::Quit => return self.quit(),
            KeyAction::Redraw => return Some(PanelEffect::Redraw),
            KeyAction::Suspend => return Some(PanelEffect::Suspend),
        }
        None
    }

    fn step(&mut self, up: bool, by: usize) {
        if self.pane == PanelPane::Events && self.dialog.is_none() {
            return self.scroll_events(by, up);
        }
        let at = self.position().unwrap_or(0);
        self.select(if up { at.saturating_sub(by) } else { at.saturating_add(by) });
    }

    fn mark(&mut self) {
        if let Some(id) = self.living().map(|row| row.forward.id) {
            if !self.marked.remove(&id) {
                self.marked.insert(id);
            }
            self.step(false, 1);
        }
    }

    /// The selected row, if it has not ended.
    fn living(&self) -> Option<&PanelRow> {
        self.selected_row().filter(|row| row.ended.is_none())
    }

    pub(super) fn ask_stop(&mut self) -> Option<PanelEffect> {
        let meant = self.meant();
        let text = match meant.as_slice() {
            [] => return None,
            [one] => format!("Stop {}?", list::named(&one.forward)),
            many => format!("Stop the {} marked forwards?", many.len()),
        };
        let then = PanelEffect::Stop(meant.into_iter().map(Self::reference).collect());
        self.dialog = Some(PanelDialog::Confirm(PanelQuestion { text, then }));
        None
    }

    pub(super) fn ask_stop_all(&mut self) -> Option<PanelEffect> {
        let all: Vec<ForwardRef> =
            self.shown().into_iter().filter(|row| row.ended.is_none()).map(Self::reference).collect();
        let which = if self.filter.is_empty() { "" } else { " that are shown" };
        let text = match all.len() {
            0 => return None,
            1 => format!("Stop the only forward{}?", which.replace("are", "is")),
            many => format!("Stop all {many} forwards{which}?"),
        };
        self.dialog = Some(PanelDialog::Confirm(PanelQuestion { text, then: PanelEffect::Stop(all) }));
        None
    }

    fn quit(&mut self) -> Option<PanelEffect> {
        let living = self.rows.iter().filter(|row| row.ended.is_none()).count();
        if self.scope == PanelScope::AllProcesses || living == 0 {
            return Some(PanelEffect::Quit);
        }
        let text = match living {
            1 => "Quit, and stop the forward?".to_owned(),
            many => format!("Quit, and stop the {many} forwards?"),
        };
        self.dialog = Some(PanelDialog::Confirm(PanelQuestion { text, then: PanelEffect::Quit }));
        None
    }

    fn ask_name(&mut self, now: Timestamp) {
        let lives = |row: &&PanelRow| row.ended.is_none();
        let forwards: Vec<PortForward> = if self.marked.is_empty() {
            self.shown().into_iter().filter(lives).map(|row| row.forward.clone()).collect()
        } else {
            self.meant().into_iter().map(|row| row.forward.clone()).collect()
        };
        if forwards.is_empty() {
            return self.say(Severity::Warning, "there are no forwards to save".to_owned(), now);
        }
        self.dialog = Some(PanelDialog::SetName(forwards, String::new()));
    }

    fn copy(&mut self, now: Timestamp) -> Option<PanelEffect> {
        let meant: Vec<String> = self.meant().into_iter().map(|row| list::local(&row.forward)).collect();
        if meant.is_empty() {
            return None;
        }
        let text = meant.join("\n");
        let what = crate::ui::escape::line(&meant.join(", ")).into_owned();
        self.say(Severity::Good, format!("copied {what}"), now);
        Some(PanelEffect::Copy(text))
    }

    pub(super) fn choose_pod(&mut self, of: ForwardRef, pods: Vec<TargetPod>, now: Timestamp) {
        let Some(row) = self.rows.iter().find(|row| row.forward.id == of.id) else { return };
        if !pods.iter().any(|pod| pod.candidate && !pod.current) {
            let text = format!("{} has no other pod that is ready", list::target(&row.forward));
            return self.say(Severity::Warning, text, now);
        }
        let at = pods.iter().position(|pod| pod.candidate && !pod.current).unwrap_or(0);
        let target = list::target(&row.forward);
        self.dialog = Some(PanelDialog::Pods(PodChoice { of, target, pods, at }));
    }

    /// The log of its process, where that has one; else the events take all of the screen.
    pub(super) fn show_log(&mut self, pid: u32, lines: Option<Vec<String>>) {
        let Some(lines) = lines else {
            (self.events, self.pane) = (EventsSize::All, PanelPane::Events);
            return;
        };
        let above = lines.len().saturating_sub(self.drawn.rows.max(1));
        let title = format!("Log of process {pid}");
        self.dialog = Some(PanelDialog::Text(ShownText { title, lines, above }));
    }
}
