//! What keys and the mouse do to the picker.

use jiff::Timestamp;
use ratatui::crossterm::event::KeyCode;

use super::{
    effect::PickerEffect,
    keys::{PickerAction, picker_action},
    search::{SearchEntry, SearchList},
    state::PickerState,
    step::{LocalWait, PickerStep, PlaceKind, PlaceStep},
};
use crate::ui::key_bindings::KeyPress;

/// Digits of a port.
const PORT_DIGITS: usize = 5;
/// By how many lines a page of the help goes.
const HELP_PAGE: usize = 10;

impl PickerState {
    /// Whether a key means something at this step.
    pub(super) fn has(&self, action: PickerAction) -> bool {
        match self.steps.last() {
            None => true,
            Some(PickerStep::Ports(_)) => action != PickerAction::Reload,
            Some(PickerStep::Place(_)) => action != PickerAction::Mark,
            Some(PickerStep::Local(_)) => !matches!(action, PickerAction::Mark | PickerAction::Reload),
            Some(PickerStep::Help(_)) => false,
        }
    }

    pub(super) fn press(&mut self, key: KeyPress, now: Timestamp) -> Option<PickerEffect> {
        let Some(action) = picker_action(key) else {
            if let (KeyCode::Char(c), false) = (key.code, key.ctrl) {
                self.type_in(c);
            }
            return None;
        };
        if let Some(PickerStep::Help(above)) = self.steps.last_mut() {
            match action {
                PickerAction::Up => *above = above.saturating_sub(1),
                PickerAction::Down => *above += 1,
                PickerAction::PageUp => *above = above.saturating_sub(HELP_PAGE),
                PickerAction::PageDown => *above += HELP_PAGE,
                PickerAction::Suspend => return Some(PickerEffect::Suspend),
                PickerAction::Leave => return Some(PickerEffect::Leave),
                PickerAction::Redraw => return Some(PickerEffect::Redraw),
                _ => _ = self.steps.pop(),
            }
            return None;
        }
        match action {
            PickerAction::Choose => return self.choose(now),
            PickerAction::Mark => self.mark(),
            PickerAction::Back => return self.back(),
            PickerAction::Namespace => return Some(self.open_places(PlaceKind::Namespace)),
            PickerAction::Context => return Some(self.open_places(PlaceKind::Context)),
            PickerAction::Reload => return self.reload(now),
            PickerAction::Help => self.steps.push(PickerStep::Help(0)),
            PickerAction::Up => self.step(-1),
            PickerAction::Down => self.step(1),
            PickerAction::PageUp => self.step(-self.page()),
            PickerAction::PageDown => self.step(self.page()),
            PickerAction::First => self.step(isize::MIN),
            PickerAction::Last => self.step(isize::MAX),
            PickerAction::Erase => self.erase(),
            PickerAction::EraseAll => self.erase_all(),
            PickerAction::Redraw => return Some(PickerEffect::Redraw),
            PickerAction::Suspend => return Some(PickerEffect::Suspend),
            PickerAction::Leave => return Some(PickerEffect::Leave),
        }
        None
    }

    fn type_in(&mut self, c: char) {
        match self.steps.last_mut() {
            None => self.targets.push(c),
            Some(PickerStep::Ports(step)) => step.list.push(c),
            Some(PickerStep::Place(step)) => step.list.push(c),
            Some(PickerStep::Local(step)) => {
                if c.is_ascii_digit() && step.text.len() < PORT_DIGITS {
                    step.text.push(c);
                }
            }
            Some(PickerStep::Help(_)) => _ = self.steps.pop(),
        }
        self.offer();
    }

    fn erase(&mut self) {
        match self.steps.last_mut() {
            None => _ = self.targets.pop(),
            Some(PickerStep::Ports(step)) => _ = step.list.pop(),
            Some(PickerStep::Place(step)) => _ = step.list.pop(),
            Some(PickerStep::Local(step)) => _ = step.text.pop(),
            Some(PickerStep::Help(_)) => {}
        }
        self.offer();
    }

    fn erase_all(&mut self) {
        match self.steps.last_mut() {
            None => _ = self.targets.clear(),
            Some(PickerStep::Ports(step)) => _ = step.list.clear(),
            Some(PickerStep::Place(step)) => _ = step.list.clear(),
            Some(PickerStep::Local(step)) => step.text.clear(),
            Some(PickerStep::Help(_)) => {}
        }
        self.offer();
    }

    pub(super) fn step(&mut self, by: isize) {
        match self.steps.last_mut() {
            None => self.targets.step(by),
            Some(PickerStep::Ports(step)) => step.list.step(by),
            Some(PickerStep::Place(step)) => step.list.step(by),
            Some(PickerStep::Help(above)) => *above = above.saturating_add_signed(by),
            Some(PickerStep::Local(_)) => {}
        }
    }

    fn page(&self) -> isize {
        let height = match self.steps.last() {
            None => self.targets.height,
            Some(PickerStep::Ports(step)) => step.list.height,
            Some(PickerStep::Place(step)) => step.list.height,
            Some(PickerStep::Local(_) | PickerStep::Help(_)) => 1,
        };
        isize::try_from(height).unwrap_or(1).max(1)
    }

    pub(super) fn click(&mut self, row: u16) {
        let Some(line) = row.checked_sub(self.top).map(usize::from) else { return };
        match self.steps.last_mut() {
            None => select(&mut self.targets, line),
            Some(PickerStep::Ports(step)) => select(&mut step.list, line),
            Some(PickerStep::Place(step)) => select(&mut step.list, line),
            Some(PickerStep::Local(_) | PickerStep::Help(_)) => {}
        }
    }

    fn mark(&mut self) {
        match self.steps.last_mut() {
            None => {
                let Some(entry) = self.targets.selected().cloned() else { return };
                match self.marked.iter().position(|one| one.target == entry.target) {
                    Some(at) => _ = self.marked.remove(at),
                    None => self.marked.push(entry),
                }
                self.targets.step(1);
            }
            Some(PickerStep::Ports(step)) => {
                let Some(port) = step.list.selected().map(|one| one.port.clone()) else { return };
                match step.marked.iter().position(|one| *one == port) {
                    Some(at) => _ = step.marked.remove(at),
                    None => step.marked.push(port),
                }
                step.list.step(1);
            }
            Some(_) => {}
        }
    }

    /// One step back.
    fn back(&mut self) -> Option<PickerEffect> {
        let was_typed = match self.steps.last_mut() {
            None if !self.targets.clear() => {
                if self.marked.is_empty() {
                    return Some(PickerEffect::Leave);
                }
                self.marked.clear();
                true
            }
            None => true,
            Some(PickerStep::Ports(step)) => step.list.clear(),
            Some(PickerStep::Place(step)) => step.list.clear(),
            Some(PickerStep::Local(_) | PickerStep::Help(_)) => false,
        };
        if !was_typed {
            self.steps.pop();
            // What was decided in the step before is open again.
            match self.steps.last_mut() {
                None => self.chosen.clear(),
                Some(PickerStep::Ports(step)) => self.chosen[step.at].ports.clear(),
                Some(PickerStep::Local(step)) => {
                    step.wait = LocalWait::Nothing;
                    self.chosen[step.at].ports[step.port].local = None;
                }
                Some(PickerStep::Place(_) | PickerStep::Help(_)) => {}
            }
        }
        self.offer();
        None
    }

    pub(super) fn open_places(&mut self, kind: PlaceKind) -> PickerEffect {
        if matches!(self.steps.last(), Some(PickerStep::Place(_))) {
            self.steps.pop();
        }
        self.steps.push(PickerStep::Place(PlaceStep { kind, list: SearchList::default(), ended: None }));
        match kind {
            PlaceKind::Namespace => PickerEffect::ListNamespaces,
            PlaceKind::Context => PickerEffect::ListContexts,
        }
    }
}

fn select<T: SearchEntry>(list: &mut SearchList<T>, line: usize) {
    let at = list.first + line;
    if line < list.height && at < list.len() {
        list.select(at);
    }
}
