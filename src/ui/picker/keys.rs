//! The keys of the picker, as data: what is pressed, what it does, and what the foot and the help say of it. Every letter is
//! typed, so all of them are with Ctrl or have a name.

use ratatui::crossterm::event::KeyCode;

use crate::ui::key_bindings::{self, KeyBinding, KeyPress, binding};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickerAction {
    /// Takes what is selected, or marked.
    Choose,
    /// Marks what is selected, or takes the mark away.
    Mark,
    /// One step back.
    Back,
    /// Another namespace.
    Namespace,
    /// Another context.
    Context,
    /// Lists anew.
    Reload,
    /// The help.
    Help,
    /// The selection goes up.
    Up,
    /// The selection goes down.
    Down,
    /// By a page.
    PageUp,
    /// By a page.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// Takes back the last character.
    Erase,
    /// Takes back all that is typed.
    EraseAll,
    /// Draws everything anew.
    Redraw,
    /// Suspends the program.
    Suspend,
    /// Leaves.
    Leave,
}

const fn code(code: KeyCode) -> KeyPress {
    KeyPress::plain(code)
}

/// Every key, the most wanted first: a narrow foot shows as many of their words as fit.
pub const PICKER_BINDINGS: &[KeyBinding<PickerAction>] = &[
    binding(
        &[code(KeyCode::Enter)],
        "Enter",
        PickerAction::Choose,
        "choose",
        "take the marked ones, or the selected one, and go on",
    ),
    binding(
        &[code(KeyCode::Tab), code(KeyCode::BackTab)],
        "Tab",
        PickerAction::Mark,
        "mark",
        "mark or unmark the selected one, to take several",
    ),
    binding(&[code(KeyCode::Esc)], "Esc", PickerAction::Back, "back", "one step back; at the first, leave"),
    binding(
        &[KeyPress::ctrl('n')],
        "Ctrl-N",
        PickerAction::Namespace,
        "namespace",
        "choose another namespace",
    ),
    binding(&[KeyPress::ctrl('t')], "Ctrl-T", PickerAction::Context, "context", "choose another context"),
    binding(
        &[KeyPress::char('?'), code(KeyCode::F(1))],
        "?",
        PickerAction::Help,
        "help",
        "this help, and why something is not shown",
    ),
    binding(&[KeyPress::ctrl('r')], "Ctrl-R", PickerAction::Reload, "reload", "ask the cluster again"),
    binding(&[KeyPress::ctrl('c')], "Ctrl-C", PickerAction::Leave, "", "leave without forwarding"),
    binding(&[code(KeyCode::Up), KeyPress::ctrl('p')], "Up", PickerAction::Up, "", "one up (also: Ctrl-P)"),
    binding(&[code(KeyCode::Down), KeyPress::ctrl('j')], "Down", PickerAction::Down, "", "one down"),
    binding(&[code(KeyCode::PageUp)], "PgUp", PickerAction::PageUp, "", "one page up"),
    binding(&[code(KeyCode::PageDown)], "PgDn", PickerAction::PageDown, "", "one page down"),
    binding(&[code(KeyCode::Home)], "Home", PickerAction::First, "", "to the first"),
    binding(&[code(KeyCode::End)], "End", PickerAction::Last, "", "to the last"),
    binding(
        &[code(KeyCode::Backspace), KeyPress::ctrl('h')],
        "Backsp",
        PickerAction::Erase,
        "",
        "take back the last character",
    ),
    binding(&[KeyPress::ctrl('u')], "Ctrl-U", PickerAction::EraseAll, "", "take back all that is typed"),
    binding(&[KeyPress::ctrl('l')], "Ctrl-L", PickerAction::Redraw, "", "draw the screen anew"),
    binding(&[KeyPress::ctrl('z')], "Ctrl-Z", PickerAction::Suspend, "", "suspend; fg comes back"),
];

/// What a key does, if it is not typed.
pub fn picker_action(pressed: KeyPress) -> Option<PickerAction> {
    key_bindings::find(PICKER_BINDINGS, pressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let all: Vec<_> = PICKER_BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        for (at, key) in all.iter().enumerate() {
            assert!(!all[..at].contains(key), "{key:?}");
        }
        assert_eq!(picker_action(KeyPress::ctrl('n')), Some(PickerAction::Namespace));
        assert_eq!(picker_action(KeyPress::char('n')), None);
    }
}
