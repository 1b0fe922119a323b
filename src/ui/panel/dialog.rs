//! What lies over the panel: questions, a name to type, a choice of pods, texts to read. Each takes all keys while it is there.

use ratatui::crossterm::event::KeyCode;

use super::effect::{ForwardRef, PanelEffect};
use crate::{
    model::forward::{PortForward, TargetPod},
    ui::key_bindings::KeyPress,
};

/// Letters of a name or a filter. No name that can be saved is longer.
const MAX_TYPED: usize = 63;

/// A dialog.
#[derive(Debug, Clone, PartialEq)]
pub enum PanelDialog {
    /// The keys.
    Help(usize),
    /// All about the selected forward.
    Details,
    /// Something that is done only once it was confirmed.
    Confirm(PanelQuestion),
    /// To which pod new connections go.
    Pods(PodChoice),
    /// The name of the set in which these are saved.
    SetName(Vec<PortForward>, String),
    /// The filter is typed.
    Filter,
    /// A text, from this line on.
    Text(ShownText),
}

/// A question that is answered by yes or no.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelQuestion {
    /// What is asked.
    pub text: String,
    /// What follows from yes.
    pub then: PanelEffect,
}

/// Pods to choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct PodChoice {
    /// The forward.
    pub of: ForwardRef,
    /// Its target.
    pub target: String,
    /// The pods of its target.
    pub pods: Vec<TargetPod>,
    /// The selected one.
    pub at: usize,
}

/// A text to read.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownText {
    /// What it is.
    pub title: String,
    /// Its lines, harmless to a terminal.
    pub lines: Vec<String>,
    /// How many lines stand above the screen.
    pub above: usize,
}

/// What became of a dialog after a key.
#[derive(Debug, PartialEq)]
pub enum DialogStep {
    /// It stays.
    Open,
    /// It is closed.
    Closed,
    /// It is closed, and this is to be done.
    Done(PanelEffect),
}

impl PanelDialog {
    /// Takes a key. The filter is the panel's own and is typed there.
    pub fn press(&mut self, key: KeyPress, page: usize) -> DialogStep {
        let KeyPress { code, ctrl } = key;
        let is_interrupt = ctrl && code == KeyCode::Char('c');
        if code == KeyCode::Esc {
            return DialogStep::Closed;
        }
        match self {
            Self::Confirm(PanelQuestion { then: PanelEffect::Quit, .. }) if is_interrupt => {
                DialogStep::Done(PanelEffect::Quit)
            }
            _ if is_interrupt => DialogStep::Closed,
            Self::Confirm(PanelQuestion { then, .. }) => match code {
                KeyCode::Char('y' | 'Y') | KeyCode::Enter => DialogStep::Done(then.clone()),
                KeyCode::Char('n' | 'N' | 'q') => DialogStep::Closed,
                _ => DialogStep::Open,
            },
            Self::Pods(choice) => choice.press(code),
            Self::SetName(forwards, name) => match code {
                KeyCode::Enter if name.is_empty() => DialogStep::Open,
                KeyCode::Enter => {
                    DialogStep::Done(PanelEffect::Save { name: name.clone(), forwards: forwards.clone() })
                }
                _ => {
                    type_key(name, key);
                    DialogStep::Open
                }
            },
            Self::Filter => DialogStep::Open,
            Self::Details => closes(code),
            Self::Help(above) => scroll(above, usize::MAX, code, page),
            Self::Text(text) => {
                let most = text.lines.len().saturating_sub(page);
                scroll(&mut text.above, most, code, page)
            }
        }
    }
}

impl PodChoice {
    fn press(&mut self, code: KeyCode) -> DialogStep {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => {
                self.at = (self.at + 1).min(self.pods.len().saturating_sub(1));
            }
            KeyCode::Char('q') => return DialogStep::Closed,
            KeyCode::Enter => return self.chosen(),
            _ => {}
        }
        DialogStep::Open
    }

    /// The selected pod is the one, if it may be.
    pub fn chosen(&self) -> DialogStep {
        match self.pods.get(self.at) {
            Some(pod) if pod.current => DialogStep::Closed,
            Some(pod) if pod.candidate => DialogStep::Done(PanelEffect::Retarget(self.of, pod.name.clone())),
            _ => DialogStep::Open,
        }
    }
}

fn closes(code: KeyCode) -> DialogStep {
    match code {
        KeyCode::Char('q' | '?') | KeyCode::Enter => DialogStep::Closed,
        _ => DialogStep::Open,
    }
}

fn scroll(above: &mut usize, most: usize, code: KeyCode, page: usize) -> DialogStep {
    *above = match code {
        KeyCode::Up | KeyCode::Char('k') => above.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => above.saturating_add(1),
        KeyCode::PageUp => above.saturating_sub(page),
        KeyCode::PageDown => above.saturating_add(page),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => most,
        _ => return closes(code),
    }
    .min(most);
    DialogStep::Open
}

/// Types a key into a line.
pub fn type_key(line: &mut String, KeyPress { code, ctrl }: KeyPress) {
    match code {
        KeyCode::Backspace => _ = line.pop(),
        KeyCode::Char('u' | 'w') if ctrl => line.clear(),
        KeyCode::Char(c) if !ctrl && line.chars().count() < MAX_TYPED && !c.is_control() => line.push(c),
        _ => {}
    }
}
