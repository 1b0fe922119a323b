//! Keys of a full screen, as data: what is pressed, what it does, and what the foot of the screen and its help say of it.

use ratatui::{
    crossterm::event::KeyCode,
    style::Modifier,
    text::{Line, Span},
};

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPress {
    /// Which.
    pub code: KeyCode,
    /// With Ctrl.
    pub ctrl: bool,
}

impl KeyPress {
    /// A key by itself.
    pub const fn plain(code: KeyCode) -> Self {
        Self { code, ctrl: false }
    }

    /// A letter, a digit or a sign by itself.
    pub const fn char(c: char) -> Self {
        Self::plain(KeyCode::Char(c))
    }

    /// With Ctrl.
    pub const fn ctrl(c: char) -> Self {
        Self { code: KeyCode::Char(c), ctrl: true }
    }
}

/// A row of a screen's table of keys. `A` is what its keys do.
#[derive(Debug)]
pub struct KeyBinding<A: 'static> {
    /// The keys.
    pub keys: &'static [KeyPress],
    /// How they are written.
    pub shown: &'static str,
    /// What they do.
    pub action: A,
    /// The word for it at the foot; empty for those that are not there.
    pub word: &'static str,
    /// What the help says.
    pub help: &'static str,
}

/// A row, its parts in the order of [`KeyBinding`].
pub(super) const fn binding<A: Copy>(
    keys: &'static [KeyPress],
    shown: &'static str,
    action: A,
    word: &'static str,
    help: &'static str,
) -> KeyBinding<A> {
    KeyBinding { keys, shown, action, word, help }
}

/// What a key does by a table.
pub(super) fn find<A: Copy>(bindings: &[KeyBinding<A>], pressed: KeyPress) -> Option<A> {
    bindings.iter().find(|binding| binding.keys.contains(&pressed)).map(|binding| binding.action)
}

/// The help's line for each row, its keys in so many columns.
pub(super) fn help<A>(bindings: &[KeyBinding<A>], keys: usize) -> impl Iterator<Item = String> {
    bindings.iter().map(move |binding| format!("{:keys$} {}", binding.shown, binding.help))
}

/// The foot of a screen: the words of as many rows as fit in `width`, from the first on, of those that have one and are there.
pub(super) fn foot<A: Copy>(
    bindings: &[KeyBinding<A>],
    width: u16,
    is_there: impl Fn(A) -> bool,
) -> Line<'static> {
    let mut spans = Vec::new();
    let mut left = usize::from(width);
    for binding in bindings.iter().filter(|one| !one.word.is_empty() && is_there(one.action)) {
        let width = binding.shown.len() + 1 + binding.word.len() + 2;
        if width > left + 2 {
            break;
        }
        left = left.saturating_sub(width);
        spans.push(Span::styled(binding.shown, Modifier::BOLD));
        spans.push(Span::raw(format!(" {}  ", binding.word)));
    }
    Line::from(spans)
}
