//! The keys of the panel, as data: what is pressed, what it does, and what the footer and the help screen say of it.

use ratatui::crossterm::event::KeyCode;

use crate::ui::key_bindings::{self, KeyBinding, KeyPress, binding};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAction {
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
    /// The other pane takes the keys for moving.
    OtherPane,
    /// Marks the selected one, or takes the mark away.
    Mark,
    /// Begins to type a filter.
    Filter,
    /// All about the selected one.
    Details,
    /// Stops the marked ones, or the selected one.
    Stop,
    /// Stops all that are shown.
    StopAll,
    /// Reconnects now.
    Reconnect,
    /// Chooses another pod.
    ChoosePod,
    /// Adds a forward.
    Add,
    /// Saves as a set.
    Save,
    /// Copies the local address.
    Copy,
    /// Opens the local address in the browser.
    Open,
    /// The log.
    Log,
    /// The help screen.
    Help,
    /// Draws everything anew.
    Redraw,
    /// Takes back the filter and the marks.
    Clear,
    /// Suspends the program.
    Suspend,
    /// Leaves.
    Quit,
}

const fn key(c: char) -> KeyPress {
    KeyPress::char(c)
}

const fn code(code: KeyCode) -> KeyPress {
    KeyPress::plain(code)
}

/// Every key, the most wanted first: a narrow footer shows as many of their words as fit.
pub const BINDINGS: &[KeyBinding<KeyAction>] = &[
    binding(&[key('?'), code(KeyCode::F(1))], "?", KeyAction::Help, "help", "this help"),
    binding(&[key('q'), KeyPress::ctrl('c')], "q", KeyAction::Quit, "quit", "leave"),
    binding(
        &[key('d'), code(KeyCode::Delete)],
        "d",
        KeyAction::Stop,
        "stop",
        "stop the marked forwards, or the selected one; asks first (also: Delete)",
    ),
    binding(&[key('X')], "X", KeyAction::StopAll, "stop all", "stop all forwards that are shown; asks first"),
    binding(&[key('a')], "a", KeyAction::Add, "add", "pick what else to forward, from a list"),
    binding(
        &[key('/')],
        "/",
        KeyAction::Filter,
        "filter",
        "show only what has this text: target, namespace, context, address, pod, state or name",
    ),
    binding(
        &[code(KeyCode::Enter)],
        "Enter",
        KeyAction::Details,
        "details",
        "everything about the selected forward",
    ),
    binding(
        &[key('r')],
        "r",
        KeyAction::Reconnect,
        "reconnect",
        "connect to the pod anew, now; connections under way stay",
    ),
    binding(
        &[key('p')],
        "p",
        KeyAction::ChoosePod,
        "pod",
        "choose another pod for new connections; those under way stay where they are",
    ),
    binding(&[key('l')], "l", KeyAction::Log, "log", "the log: more of it, or that of a background process"),
    binding(
        &[key(' ')],
        "Space",
        KeyAction::Mark,
        "mark",
        "mark or unmark the selected forward; d, r, s and y take the marked ones",
    ),
    binding(&[key('y')], "y", KeyAction::Copy, "copy", "copy the local address to the clipboard"),
    binding(&[key('o')], "o", KeyAction::Open, "open", "open the local address in the browser"),
    binding(
        &[key('s')],
        "s",
        KeyAction::Save,
        "save",
        "save the marked forwards, or all that are shown, as a set",
    ),
    binding(
        &[code(KeyCode::Tab), code(KeyCode::BackTab)],
        "Tab",
        KeyAction::OtherPane,
        "",
        "from the list to the events and back",
    ),
    binding(&[code(KeyCode::Up), key('k')], "Up, k", KeyAction::Up, "", "one up"),
    binding(&[code(KeyCode::Down), key('j')], "Down, j", KeyAction::Down, "", "one down"),
    binding(&[code(KeyCode::PageUp), KeyPress::ctrl('b')], "PgUp", KeyAction::PageUp, "", "one page up"),
    binding(
        &[code(KeyCode::PageDown), KeyPress::ctrl('f')],
        "PgDn",
        KeyAction::PageDown,
        "",
        "one page down",
    ),
    binding(&[key('g'), code(KeyCode::Home)], "g, Home", KeyAction::First, "", "to the first"),
    binding(&[key('G'), code(KeyCode::End)], "G, End", KeyAction::Last, "", "to the last"),
    binding(
        &[code(KeyCode::Esc)],
        "Esc",
        KeyAction::Clear,
        "",
        "close what is open; take back the filter and the marks",
    ),
    binding(&[KeyPress::ctrl('l')], "Ctrl-L", KeyAction::Redraw, "", "draw the screen anew"),
    binding(&[KeyPress::ctrl('z')], "Ctrl-Z", KeyAction::Suspend, "", "suspend; fg comes back"),
];

/// What a key does.
pub fn action(pressed: KeyPress) -> Option<KeyAction> {
    key_bindings::find(BINDINGS, pressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let all: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        for (at, key) in all.iter().enumerate() {
            assert!(!all[..at].contains(key), "{key:?}");
        }
        assert_eq!(action(KeyPress::char('X')), Some(KeyAction::StopAll));
        assert_eq!(action(KeyPress::char('x')), None);
    }
}
